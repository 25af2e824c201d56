"""Generations of the vector index, and the versions that each generation should contain."""
