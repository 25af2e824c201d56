"""Turns files shared in Slack into documents."""
