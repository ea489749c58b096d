"""`ops phase`: where the migration stands, and moving it on or back."""
