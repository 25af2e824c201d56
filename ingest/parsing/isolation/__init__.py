"""Confined child processes in which all parsers run."""
