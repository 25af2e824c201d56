"""The confined child processes that parse; no other code starts a parser."""
