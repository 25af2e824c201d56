"""Retrieval: embed and index chunks, search and fuse rankings, and read spans of documents."""
