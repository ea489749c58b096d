"""Mapping: documents to rows and back. Pure; the way there raises only Malformed."""

from shared.mapping.output import map_output

__all__ = ["map_output"]
