"""The tasks that process jobs, one module per task. They contain no loop and no thread."""
