"""Calls of a language model made for a larger question: many at once, within a budget, each paid for once."""
