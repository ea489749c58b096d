"""`ops restore`: a backup becomes a database again, proved by the hashes of its tables."""
