"""Background work: jobs are claimed from the catalog and run through their stages."""
