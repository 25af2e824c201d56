"""Settings of the service, read by composition roots."""
