"""`ops rehearse`: the whole journey there and back, in scratch databases."""
