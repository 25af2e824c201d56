"""The Slack bot: questions arrive as events, are queued in the catalog, and are answered by runs."""
