"""Formats: what the documents of a stage say, whichever of their shapes they have. Pure; raises only Malformed."""
