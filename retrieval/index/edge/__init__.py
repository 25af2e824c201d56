"""The index in this process, on Qdrant's embedded engine."""
