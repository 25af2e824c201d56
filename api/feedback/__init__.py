"""Feedback on answers over REST."""
