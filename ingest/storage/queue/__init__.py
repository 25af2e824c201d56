"""The job queue: its rows, the order of claims, and statistics. It is independent of the states of documents."""
