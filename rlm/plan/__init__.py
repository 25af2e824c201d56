"""Typed plans: how to compute an answer from records, written by rules or filled in by a model, never as code."""
