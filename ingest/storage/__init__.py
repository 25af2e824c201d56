"""All storage: the catalog in SQL, blobs, texts, tables and the change feed, with one folder per feature."""
