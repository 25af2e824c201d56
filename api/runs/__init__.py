"""REST routes that follow, continue, cancel and export runs."""
