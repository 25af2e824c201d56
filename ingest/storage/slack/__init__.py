"""The Slack bot's workspaces, files and usage. These modules do not depend on the Slack SDK."""
