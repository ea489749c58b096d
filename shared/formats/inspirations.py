"""Inspirations of stage 1, in all three shapes of `inspirations.json`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from shared.errors import Malformed, Place
from shared.formats.json_shape import as_list, as_object, as_text, refuse_shape
from shared.formats.json_text import JsonText
from shared.frozen import frozen
from shared.reasons import Reason

INSPIRATIONS_JSON: Final = "inspirations.json"

#: As many as a report has columns for; what comes after them stays in the stage output's JSON.
_REPORTED: Final = 2

_KEYED: Final = re.compile(r"inspiration_([0-9]{1,9})")
_TRACK: Final = re.compile(r"track_([0-9]{1,9})")


@frozen
class Inspiration:
    """One inspiration; a track has no key elements."""

    title: str
    content: str
    key_elements: tuple[str, ...]


def read_inspirations(document: JsonText) -> tuple[Inspiration, Inspiration] | None:
    """Return the two inspirations of the report, None where a document of another name holds none.

    Raises Malformed where `inspirations.json` has none of the shapes, or a document of any name has one in part.
    """
    name, whole = document.name, document.value
    if not isinstance(whole, dict):
        if name == INSPIRATIONS_JSON:
            refuse_shape(name, "", "an object", whole)
        return None
    if "inspirations" in whole:
        items = as_list(name, "inspirations", whole["inspirations"])
        members = [(f"inspirations[{index}]", item) for index, item in enumerate(items)]
        return _pair(_inspiration(name, *member) for member in _enough(name, members))
    if keyed := _numbered(whole, _KEYED):
        members = [(key, whole[key]) for _, key in keyed]
        return _pair(_inspiration(name, *member) for member in _enough(name, members))
    if tracks := _numbered(whole, _TRACK):
        members = [(key, whole[key]) for key in _selected_first(name, whole, tracks)]
        return _pair(_track(name, *member) for member in _enough(name, members))
    if name == INSPIRATIONS_JSON:
        raise Malformed(Reason.JSON_SHAPE, f"{name} has no inspirations in any known shape.", Place(name))
    return None


def _numbered(whole: dict[str, Any], pattern: re.Pattern[str]) -> list[tuple[int, str]]:
    return sorted((int(match[1]), key) for key in whole if (match := pattern.fullmatch(key)))


def _selected_first(name: str, whole: dict[str, Any], tracks: list[tuple[int, str]]) -> Iterable[str]:
    by_number = dict(tracks)
    key, selected = "selected_tracks", whole.get("selected_tracks")
    if selected is None:
        key, selected = "selected_track", whole.get("selected_track")
        selected = [] if selected is None else [selected]
    for number in as_list(name, key, selected):
        if isinstance(number, bool) or not isinstance(number, int) or number not in by_number:
            refuse_shape(name, key, f"the number of a track ({', '.join(map(str, by_number))})", number)
    chosen = [by_number[number] for number in selected]
    return dict.fromkeys([*chosen, *(key for _, key in tracks)])


def _enough(name: str, members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    if len(members) < _REPORTED:
        found = {0: "no inspirations", 1: "one inspiration"}[len(members)]
        raise Malformed(Reason.TOO_FEW_INSPIRATIONS, f"{name} has {found}, not two.", Place(name))
    return members[:_REPORTED]


def _inspiration(name: str, path: str, value: Any) -> Inspiration:
    member = as_object(name, path, value)
    title = as_text(name, f"{path}.title", member.get("title"))
    content = as_text(name, f"{path}.content", member.get("content"))
    elements = member.get("key_elements")
    if not isinstance(elements, list) or not all(isinstance(element, str) for element in elements):
        raise Malformed(
            Reason.KEY_ELEMENTS,
            f"{path}.key_elements of {name} is not a list of text.",
            Place(name, section=f"{path}.key_elements"),
        )
    return Inspiration(title, content, tuple(elements))


def _track(name: str, path: str, value: Any) -> Inspiration:
    member = as_object(name, path, value)
    return Inspiration(
        as_text(name, f"{path}.title", member.get("title")),
        as_text(name, f"{path}.summary", member.get("summary")),
        (),
    )


def _pair(inspirations: Iterable[Inspiration]) -> tuple[Inspiration, Inspiration]:
    first, second = inspirations
    return first, second
