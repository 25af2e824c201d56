"""The sandbox for code written by a language model: a process without files, network or environment."""
