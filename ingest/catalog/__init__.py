"""The catalog: tenants, keys, collections, documents, versions and jobs, in SQL through SQLAlchemy."""
