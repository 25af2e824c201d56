"""Encoders, which convert text to dense vectors: an interface, a registry, and an adapter for each library."""
