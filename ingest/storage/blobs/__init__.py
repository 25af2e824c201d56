"""Blobs: files stored by key in a folder or a bucket, and sealed (encrypted) if keys are configured."""
