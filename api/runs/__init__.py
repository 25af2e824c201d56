"""Runs over REST: follow, cancel and export them."""
