"""The Slack bot, which queues questions from events in the catalog and answers each with a run."""
