"""Webhooks: endpoints, the events that they ask for, and the outbox of deliveries. Nothing here sends."""
