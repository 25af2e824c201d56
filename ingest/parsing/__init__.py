"""Hostile bytes in, normalized text out. Each format is a module with a parser and a row in `registry`."""
