"""Encoders, which turn texts into dense vectors: a port, a registry and an adapter for each library."""
