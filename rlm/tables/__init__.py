"""Answers questions over record tables by computation: a plan in SQL, and columns whose values a model judges."""
