"""Generations of the vector index, and the document versions that each generation should contain."""
