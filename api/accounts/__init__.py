"""Tenants, users, keys and sessions over REST, and sign-in with an identity provider."""
