"""The Slack bot's workspaces, files and usage. Knows no Slack SDK."""
