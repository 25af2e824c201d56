"""Calls to language models that serve a larger question: concurrent, within a budget, and each paid for once."""
