"""Changes of the schema, in order; `storage.database` runs them."""
