"""`ops trace`: the story of one run."""
