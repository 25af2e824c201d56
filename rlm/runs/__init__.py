"""Durable runs: what a strategy gets from models and searches is logged, and comes from the log when it runs again."""
