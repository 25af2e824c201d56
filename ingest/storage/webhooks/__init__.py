"""Webhooks: endpoints, the events to which they subscribe, and the outbox of deliveries. Sending is done elsewhere."""
