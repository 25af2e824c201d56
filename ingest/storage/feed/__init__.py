"""The feed: announces changes to watchers in this process, or in other processes through Redis."""
