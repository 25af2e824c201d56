"""Generations of the vector index, and what each should hold."""
