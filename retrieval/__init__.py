"""Retrieval: embed and index chunks, search the index, fuse rankings, and read passages of documents."""
