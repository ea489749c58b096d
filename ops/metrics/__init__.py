"""`ops metrics`: the whole system, as Prometheus is told of it."""
