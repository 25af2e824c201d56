"""Modules that the interpreter lacks, in the Python that it has. They run inside the sandbox, never on the host."""
