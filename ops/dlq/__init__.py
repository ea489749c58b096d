"""`ops dlq`: to look at dead letters, mend and replay them, or give them up."""
