"""Replies in Slack, from the first status to the finished answer."""
