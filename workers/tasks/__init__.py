"""The tasks that process jobs, one module per task. The tasks start no threads and contain no worker loop."""
