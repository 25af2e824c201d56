"""Documents in: receive, parse, normalize, chunk, and keep them (catalog and blobs)."""
