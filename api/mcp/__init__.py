"""The Model Context Protocol at `/mcp`: tools by which models search, read and ask the documents of a key's holder.

The tools do what the routes of REST do, with the same scopes, quotas, access lists and audit log.
"""
