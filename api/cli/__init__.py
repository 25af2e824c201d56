"""The `leadline` command, which starts the service and acts as its client."""
