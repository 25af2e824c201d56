"""REST routes for tenants, users, keys and sessions, and sign-in with an identity provider."""
