"""Everything that is stored: the catalog in SQL, blobs, texts, tables and the feed of changes, a folder a feature."""
