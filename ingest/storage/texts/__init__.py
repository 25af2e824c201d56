"""Normalized texts of documents, their chunks, and where each part stands."""
