"""Answers: conversations, runs and their logs, feedback, shares, cached replies of language models, and usage."""
