"""The tasks that jobs run, a module each. No loop and no thread."""
