"""Encoders of texts as dense vectors: a port, a registry and an adapter for each library."""
