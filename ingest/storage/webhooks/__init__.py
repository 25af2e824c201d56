"""Webhooks: endpoints, their event subscriptions, and the outbox of messages. Sending is done elsewhere."""
