"""Replies in Slack, from the first notice to the finished answer."""
