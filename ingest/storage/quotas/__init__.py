"""Quotas: limits of tenants, users and keys, and the amounts used of each."""
