"""Normalized texts of documents, their chunks, and the location of each text span in the file."""
