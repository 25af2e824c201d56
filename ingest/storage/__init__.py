"""Storage: the SQL catalog, blobs, texts, tables and the change feed. Each feature has its own folder."""
