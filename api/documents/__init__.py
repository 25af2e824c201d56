"""Documents over REST: uploads, contents, listings and batches."""
