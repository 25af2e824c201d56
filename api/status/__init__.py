"""REST routes for health, metrics and API documentation."""
