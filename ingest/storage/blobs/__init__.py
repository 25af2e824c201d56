"""Blobs: files stored by key in a folder or a bucket. They are sealed (encrypted) if keys are configured."""
