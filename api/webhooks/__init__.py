"""REST routes for webhooks."""
