"""REST routes for search."""
