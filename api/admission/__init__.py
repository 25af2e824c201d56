"""Admission: authentication, quotas, rate limits and concurrency limits."""
