"""The phase in force: an override in PostgreSQL, copied to Redis, remembered on disk, followed by every process."""
