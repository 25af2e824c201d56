"""Answers questions over record tables by computing: a plan in SQL, and columns that a model judges."""
