"""The portal: the web interface for people, whose pages call the REST API with a session."""
