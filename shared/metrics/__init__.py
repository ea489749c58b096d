"""Metrics: what Prometheus is told, and the endpoint that tells it."""
