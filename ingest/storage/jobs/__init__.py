"""Jobs: claimed, committed under their fence, and failed."""
