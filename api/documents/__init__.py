"""REST routes for documents: uploads, contents, listings and batches."""
