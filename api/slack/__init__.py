"""The Slack bot: questions come as events, wait in the catalog, and are answered by runs."""
