"""Rerankers of passages: a port, and an adapter for each library."""
