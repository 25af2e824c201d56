"""The Model Context Protocol at `/mcp`: tools with which models search, read and ask a caller's documents.

The tools do the same as the REST routes, with the same scopes, quotas, access lists and audit log.
"""
