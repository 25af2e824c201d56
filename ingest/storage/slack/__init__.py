"""The Slack bot's workspaces, files and usage. Does not depend on the Slack SDK."""
