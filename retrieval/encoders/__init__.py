"""Encoders, which convert texts to dense vectors: a port, a registry and an adapter for each library."""
