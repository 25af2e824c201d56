"""Calls to language models made for a larger question: many at once, within a budget, each paid for once."""
