"""HTTP infrastructure shared by all features: problems, limits, middleware, cursors and server-sent events."""
