"""REST routes for runs: follow, continue, cancel and export them."""
