"""Files shared in Slack that become documents."""
