"""`ops emergency-rollback`: back to files, at once: what the plan's reset leaves, with a backup and a proof."""
