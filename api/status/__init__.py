"""Health, metrics and the documentation of the API."""
