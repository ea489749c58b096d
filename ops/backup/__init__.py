"""`ops backup`: a snapshot of the database, the run folders and the outbox, in a folder that is whole or not there."""
