"""Calls to language models on behalf of a larger question.

Calls run concurrently within a budget, and each is paid for only once.
"""
