"""Questions over record tables, answered by computing: a plan in SQL, and columns that a model judges."""
