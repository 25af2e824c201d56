"""Encoders, which convert texts to dense vectors: an interface, a registry and an adapter for each library."""
