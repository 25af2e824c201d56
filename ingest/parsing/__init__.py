"""Parse untrusted bytes into normalized text. Each format has a parser module and an entry in `registry`."""
