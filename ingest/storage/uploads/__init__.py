"""Uploads that are no documents yet: files without a collection, and files arriving in pieces."""
