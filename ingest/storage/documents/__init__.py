"""Documents: collections, versions, metadata, batches, listings and deletions."""
