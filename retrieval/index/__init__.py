"""The vector index: a port, its generations, and adapters for the embedded engine and for a server."""
