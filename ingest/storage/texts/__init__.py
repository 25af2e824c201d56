"""Storage of documents' normalized texts, their chunks, and the locations of text spans in the file."""
