"""The vector index: its interface, its generations, and adapters for the embedded engine and the vector server."""
