"""REST routes for answers and conversations."""
