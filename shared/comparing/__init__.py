"""Comparing: expected rows with the rows that are there, field by field, text exactly and JSON by value. Pure."""

from shared.comparing.adoption import equal_enough_to_adopt
from shared.comparing.differences import Difference, differences
from shared.comparing.row_hash import Row, compared, row_sha256
from shared.comparing.stored import StoredRow, StoredRows

__all__ = [
    "Difference",
    "Row",
    "StoredRow",
    "StoredRows",
    "compared",
    "differences",
    "equal_enough_to_adopt",
    "row_sha256",
]
