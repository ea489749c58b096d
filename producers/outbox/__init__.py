"""The outbox: messages that are durable on the producer's disk until PostgreSQL has a durable end for them."""
