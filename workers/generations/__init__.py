"""Building another generation of the index, and switching to it."""
