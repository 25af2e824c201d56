"""Uploads that are not documents yet: files outside collections, and resumable uploads."""
