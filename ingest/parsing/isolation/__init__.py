"""Confined child processes for parsing. No other code runs a parser."""
