"""Generations of the vector index, and the versions that each should contain."""
