"""Accounts: tenants, users, API keys, sessions and grants, and rules for which documents a principal may read."""
