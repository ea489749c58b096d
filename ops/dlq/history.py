"""History: what happened to a letter, line by line, for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SAID: Final = {
    "died": "died of {reason}",
    "died_again": "its replay died of {reason}",
    "failed_otherwise": "came again, and died of {reason}",
    "came_back": "came back, and died of {reason}",
    "mend_died": "the mended copy {as} died of {reason}",
    "replaying": "replayed in batch {batch_id}",
    "edited": "edited; the copy is {as}",
    "reread": "read from disk again; the copy is {as}",
    "not_applied": "its replay was not written: {verdict}",
    "resolved": "resolved: {verdict}",
    "mended": "mended: {by} is {verdict}",
    "discarded": "discarded: {why}",
    "imported": "imported",
}
_SHOWN_OF_HASH: Final = 12


def history_line(entry: Mapping[str, Any]) -> str:
    """Return one entry as a line: when, what, who."""
    what = str(entry.get("what", "?"))
    values = {
        key: str(value)[:_SHOWN_OF_HASH] if key in ("as", "by") else str(value) for key, value in entry.items()
    }
    said = _SAID.get(what, what).format_map(_Known(values))
    who = f" ({values['who']})" if values.get("who") else ""
    return f"{str(entry.get('at', ''))[:19].replace('T', ' ')}  {said}{who}"


class _Known(dict[str, str]):
    """Values of a line of history; a line that a newer version wrote may lack some."""

    def __missing__(self, key: str) -> str:
        return "?"
