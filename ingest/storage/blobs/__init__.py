"""Blobs: files stored by key in a folder or a bucket. Files are sealed (encrypted) if keys are configured."""
