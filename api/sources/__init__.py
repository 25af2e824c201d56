"""REST routes for sources: places that documents are synchronized from."""
