"""Seeded tasks of any size: documents, questions, their gold, and how right an answer is."""
