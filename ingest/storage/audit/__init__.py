"""The audit log: who did what, in a hash chain."""
