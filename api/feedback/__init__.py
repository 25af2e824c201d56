"""REST routes for feedback on answers."""
