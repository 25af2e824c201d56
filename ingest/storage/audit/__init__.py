"""The audit log: who did what, as a chain of hashes."""
