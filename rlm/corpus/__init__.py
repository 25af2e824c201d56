"""The documents in a caller's scope as an environment: sizes, contents, handles, and text loaded on demand."""
