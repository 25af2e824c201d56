"""HTTP without features: problems, bounds, middleware, cursors and server-sent events."""
