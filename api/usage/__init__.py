"""REST routes for usage and quotas."""
