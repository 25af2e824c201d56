"""Settings of the service, read by the composition roots."""
