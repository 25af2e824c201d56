"""Adapters of the places that documents are synchronized from, and the synchronization itself. No module uses SQL."""
