"""Uploads that are not documents yet: files without a collection, and files that arrive in several requests."""
