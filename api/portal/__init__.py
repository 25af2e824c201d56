"""The portal: the web interface for users. Its pages call the REST API with a session."""
