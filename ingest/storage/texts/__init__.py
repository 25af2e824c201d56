"""Normalized texts of documents, their chunks, and the place of each part in the file."""
