"""The Model Context Protocol at `/mcp`: tools that let models search, read and ask questions about documents, resources
that users attach to a conversation, and prompts that they choose.

All of these do the same as the REST routes, with the same scopes, quotas, access lists and audit log.
"""
