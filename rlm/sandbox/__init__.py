"""Where code that a language model wrote runs: a process without files, network or environment."""
