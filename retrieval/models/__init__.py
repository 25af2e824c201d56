"""Model files by content: named with their hashes in a manifest, fetched from the first source that answers."""
