"""Webhooks: endpoints, their event subscriptions, and the outbox of messages. Workers send the messages."""
