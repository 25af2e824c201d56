"""Document cards: what tells a document apart from similar documents, kept with each version."""
