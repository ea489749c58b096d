"""JSON shapes: reading members of parsed JSON that must be of one kind, with the place where they are not."""

from __future__ import annotations

from typing import Any, NoReturn

from shared.errors import Malformed, Place
from shared.reasons import Reason


def refuse_shape(document: str, path: str, expected: str, value: Any) -> NoReturn:
    """Raise Malformed: the value at `path` is not what is expected there."""
    raise Malformed(
        Reason.JSON_SHAPE,
        f"{path or 'The whole'} of {document} must be {expected}, not {kind_name(value)}.",
        Place(document, section=path or None),
    )


def kind_name(value: Any) -> str:
    """Return what kind of JSON value this is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return f"{value:.6g}" if isinstance(value, int | float) and abs(value) < 1e9 else "a number"


def as_object(document: str, path: str, value: Any) -> dict[str, Any]:
    """Return the value as an object; raises Malformed where it is none."""
    if not isinstance(value, dict):
        refuse_shape(document, path, "an object", value)
    return value


def as_list(document: str, path: str, value: Any) -> list[Any]:
    """Return the value as a list; raises Malformed where it is none."""
    if not isinstance(value, list):
        refuse_shape(document, path, "a list", value)
    return value


def as_text(document: str, path: str, value: Any) -> str:
    """Return the value as text; raises Malformed where it is none."""
    if not isinstance(value, str):
        refuse_shape(document, path, "text", value)
    return value


def optional_text(document: str, path: str, value: Any) -> str:
    """Return the value as text, empty where it is null or missing; raises Malformed where it is anything else."""
    return "" if value is None else as_text(document, path, value)
