"""The index in this process, on the embedded engine of Qdrant."""
