"""The portal: pages for people in a browser, which use the REST API with a session."""
