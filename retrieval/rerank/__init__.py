"""Rerankers of passages: an interface, and an adapter for each kind of reranker."""
