"""The operator's commands: the schema, dead letters, services, and the ways back."""
