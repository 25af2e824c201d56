"""REST routes for shared conversations and runs."""
