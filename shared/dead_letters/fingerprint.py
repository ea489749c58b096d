"""Fingerprints: equal failures of different outputs fall into one group."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from shared.ids import RunId

_FINGERPRINT_CHARACTERS: Final = 16

#: In this order: what is quoted may hold numbers, and a hexadecimal id holds digits.
_VARIABLE: Final = (
    (re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`[^`\n]*`|“[^”\n]*”|«[^»\n]*»"""), "‹name›"),
    (re.compile(r"\b[\w-]+\.(?:json|md)\b"), "‹document›"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\b|\b(?:0x)?[0-9a-f]{12,}\b"), "‹id›"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "‹number›"),
    (re.compile(r"\s+"), " "),
)


def normalised(text: str, run_id: RunId | str = "") -> str:
    """Return `text` without what differs between equal failures: run ids, quoted names, ids and numbers."""
    if run_id:
        text = text.replace(run_id, "‹run›")
    for pattern, stand_in in _VARIABLE:
        text = pattern.sub(stand_in, text)
    return text.strip()


def fingerprint(
    reason: str, error_class: str, text: str, stage: int, document: str | None, run_id: RunId | str = ""
) -> str:
    """Return the group of a failure: equal for equal failures of the same stage and kind of document."""
    kind = re.sub(r"\d+", "‹number›", document or "")
    parts = (reason, error_class, normalised(text, run_id), str(stage), kind)
    digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:_FINGERPRINT_CHARACTERS]
