"""Accounts: tenants, users, API keys, sessions, grants, and the documents that each of them may read."""
