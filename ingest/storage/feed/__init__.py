"""The feed: messages from one process to others, in this process or through Redis."""
