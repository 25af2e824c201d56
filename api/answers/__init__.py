"""Answers and conversations over REST."""
