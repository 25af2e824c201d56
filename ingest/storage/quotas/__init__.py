"""Quotas: the limits of tenants and keys, and how much of each limit is used."""
