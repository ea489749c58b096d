"""`ops status`: the migration at a glance."""
