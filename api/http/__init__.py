"""HTTP infrastructure without features: problems, limits, middleware, cursors and server-sent events."""
