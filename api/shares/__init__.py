"""Shared answers over REST."""
