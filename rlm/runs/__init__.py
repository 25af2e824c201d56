"""Durable runs: results of models and searches are logged, and read from the log when a strategy runs again."""
