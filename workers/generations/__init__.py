"""Builds another generation of the index, and switches to it."""
