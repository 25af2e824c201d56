"""The change feed announces changes to watchers in this process or, through Redis, in other processes."""
