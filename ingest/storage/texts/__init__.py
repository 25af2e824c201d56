"""Normalized texts of documents, their chunks, and the location of each part in the file."""
