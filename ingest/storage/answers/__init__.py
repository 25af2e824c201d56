"""Answers: conversations, runs and their logs, feedback, shares, replies of models, and usage."""
