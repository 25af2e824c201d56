"""Passages out: embed, index, search, fuse, and read spans of documents."""
