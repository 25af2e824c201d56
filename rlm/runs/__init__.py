"""Durable runs: results of models and searches are logged, and come from the log when a strategy runs again."""
