"""Record tables of documents: their columns, rows and profiles."""
