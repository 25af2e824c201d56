"""The job queue: its rows, the order of claims, and statistics. The queue does not know the states of documents."""
