"""The schema: what apply makes, verify compares, status shows and revert takes away."""

from __future__ import annotations

from ops.schema.application import Applied, apply

__all__ = ["Applied", "apply"]
