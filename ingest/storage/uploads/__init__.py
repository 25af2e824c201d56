"""Uploads that are not documents yet: files without a collection, and files that are sent in several requests."""
