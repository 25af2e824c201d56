"""All storage: the catalog in SQL, blobs, texts, tables and the feed of changes, with one folder for each feature."""
