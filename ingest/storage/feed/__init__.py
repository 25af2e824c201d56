"""The change feed: announces changes to watchers in this process, or through Redis to other processes."""
