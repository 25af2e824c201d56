"""Upkeep: work that runs at intervals, from expiry to webhooks."""
