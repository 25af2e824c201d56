"""The job queue: its rows, the order of claims, and statistics. It knows nothing about the state of documents."""
