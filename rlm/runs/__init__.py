"""Durable runs: results of models and searches are logged, and taken from the log when a strategy runs again."""
