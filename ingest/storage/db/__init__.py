"""The database of the catalog: schema, migrations and transactions."""
