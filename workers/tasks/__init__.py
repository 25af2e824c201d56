"""The tasks that jobs run, one module each. They contain no loop and no thread."""
