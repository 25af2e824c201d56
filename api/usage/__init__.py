"""Usage and quotas over REST."""
