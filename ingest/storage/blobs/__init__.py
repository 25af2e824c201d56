"""Blobs: files by key in a folder or a bucket, sealed if a key is configured."""
