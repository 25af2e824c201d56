"""Upkeep: work that is done at regular intervals, from expiry to webhooks."""
