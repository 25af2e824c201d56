"""Sources: places that documents are synchronized from, with their items and the history of their synchronizations."""
