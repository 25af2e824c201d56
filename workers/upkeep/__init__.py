"""Upkeep: what runs at intervals, from expiry to webhooks."""
