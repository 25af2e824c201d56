"""The `leadline` command: a client of the service, and also the way to start the service."""
