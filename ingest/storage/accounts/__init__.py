"""Accounts: tenants, users, keys, sessions and grants, and which documents each may read."""
