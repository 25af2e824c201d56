"""Storage of documents' record tables: their columns, rows and profiles."""
