"""Webhooks: endpoints, the events they subscribe to, and the outbox of deliveries. Sending is done elsewhere."""
