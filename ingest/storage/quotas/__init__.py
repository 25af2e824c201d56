"""Quotas: the limits of tenants, users and keys, and how much of each limit is used."""
