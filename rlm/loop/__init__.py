"""The recursive loop: a root model writes Python in a sandbox whose tools read a corpus and call models."""
