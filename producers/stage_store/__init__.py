"""The stage store: what a pipeline stage calls instead of open() and SQL; it behaves by the phase of the migration."""
