"""Parse untrusted bytes into normalized text. Each format is a module with a parser and a row in `registry`."""
