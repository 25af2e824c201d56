"""Retrieval: embed, index, search and fuse chunks, and read spans of documents."""
