"""Model files, pinned by hash in a manifest and downloaded from the first available source."""
