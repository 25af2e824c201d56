"""Model files, pinned by hash in a manifest and fetched from the first source that answers."""
