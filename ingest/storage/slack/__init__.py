"""The Slack bot's workspaces, questions, files and usage, independent of the Slack SDK."""
