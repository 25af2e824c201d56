"""Maintenance work that runs at regular intervals, such as expiry, index checks and sending webhooks."""
