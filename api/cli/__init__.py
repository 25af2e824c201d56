"""The `leadline` command: a client of the service, and the service itself."""
