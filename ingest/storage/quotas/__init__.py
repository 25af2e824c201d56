"""Quotas: limits of tenants, users and keys, and how much of each is used."""
