"""`ops rollback`: takes away what the migration created, and only that, by the ledger's record."""
