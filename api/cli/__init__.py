"""The command `leadline`: a client of the service, and the service itself."""
