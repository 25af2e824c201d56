"""The Slack bot: questions arrive as events, are queued in the catalog, and each is answered by a run."""
