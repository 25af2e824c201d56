"""The index in the current process, on Qdrant's embedded engine."""
