"""The queue of jobs: its rows, whose turn it is, and statistics. Knows no document's state."""
