"""The `leadline` command, which is both a client of the service and the way to start the service."""
