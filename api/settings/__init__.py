"""Settings of the service, which the composition roots read."""
