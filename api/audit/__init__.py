"""REST routes for the audit log."""
