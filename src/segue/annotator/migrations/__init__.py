"""Changes of the database schema, oldest first; run by ``store.migrate``."""
