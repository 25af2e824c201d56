"""The documents in a caller's scope: their sizes, contents and handles, with text loaded on demand."""
