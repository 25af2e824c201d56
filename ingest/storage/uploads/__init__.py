"""Uploads that are not documents yet: files without a collection, and resumable uploads."""
