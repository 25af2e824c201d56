"""Background work: jobs claimed from the catalog and carried through their stages."""
