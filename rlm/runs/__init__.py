"""Durable runs: results of models and searches are logged, and are read from the log when a strategy runs again."""
