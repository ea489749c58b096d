"""Inspirations are read in all three shapes; a broken one says what is wrong and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.documents import Document
from shared.errors import Malformed
from shared.formats.inspirations import Inspiration, read_inspirations
from shared.formats.json_text import parse_json
from shared.reasons import Reason

ONE = {"title": "Café", "content": "Warm.\nAlways.", "key_elements": ["a", "b"]}
TWO = {"title": "Kiosk", "content": "Open late.", "key_elements": []}
PAIR = (Inspiration("Café", "Warm.\nAlways.", ("a", "b")), Inspiration("Kiosk", "Open late.", ()))


def track(name: str) -> dict[str, str]:
    return {"title": f"Track {name}", "summary": f"Summary {name}", "icon_url": "https://icons.example/x.svg"}


def read(value: Any, name: str = "inspirations.json") -> tuple[Inspiration, Inspiration] | None:
    return read_inspirations(parse_json(Document(name, json.dumps(value).encode())))


@pytest.mark.parametrize(
    "value",
    [
        {"inspirations": [ONE, TWO]},
        {"inspirations": [ONE, TWO, {"title": 3}]},
        {"inspiration_1": ONE, "inspiration_2": TWO, "completed_at": "2025-10-07"},
        {"inspiration_10": {}, "inspiration_2": TWO, "inspiration_1": ONE},
        {"inspiration_1": ONE, "inspiration_2": TWO, "track_1": track("1"), "track_2": track("2")},
    ],
)
def test_planned_and_keyed_inspirations_are_the_same_pair(value: Any) -> None:
    assert read(value) == PAIR


@pytest.mark.parametrize(
    ("selection", "titles"),
    [
        ({"selected_track": 1}, ("Track 1", "Track 2")),
        ({"selected_track": 2}, ("Track 2", "Track 1")),
        ({"selected_tracks": [2]}, ("Track 2", "Track 1")),
        ({"selected_tracks": [3, 2]}, ("Track 3", "Track 2")),
        ({"selected_tracks": [3, 3]}, ("Track 3", "Track 1")),
        ({"selected_tracks": []}, ("Track 1", "Track 2")),
        ({"selected_track": None}, ("Track 1", "Track 2")),
        ({}, ("Track 1", "Track 2")),
    ],
)
def test_the_selected_track_comes_first(selection: dict[str, Any], titles: tuple[str, str]) -> None:
    pair = read({"track_3": track("3"), "track_2": track("2"), "track_1": track("1"), **selection})
    assert pair is not None
    assert tuple(inspiration.title for inspiration in pair) == titles
    assert [inspiration.key_elements for inspiration in pair] == [(), ()]
    assert pair[0].content == titles[0].replace("Track", "Summary")


@pytest.mark.parametrize(
    ("value", "reason", "section"),
    [
        ([ONE, TWO], Reason.JSON_SHAPE, None),
        ("text", Reason.JSON_SHAPE, None),
        (None, Reason.JSON_SHAPE, None),
        ({}, Reason.JSON_SHAPE, None),
        ({"completed_at": "2025"}, Reason.JSON_SHAPE, None),
        ({"inspirations": {"1": ONE}}, Reason.JSON_SHAPE, "inspirations"),
        ({"inspirations": None}, Reason.JSON_SHAPE, "inspirations"),
        ({"inspirations": [ONE, "two"]}, Reason.JSON_SHAPE, "inspirations[1]"),
        ({"inspirations": [ONE, TWO | {"title": 2}]}, Reason.JSON_SHAPE, "inspirations[1].title"),
        (
            {"inspirations": [{"title": "x", "key_elements": []}, TWO]},
            Reason.JSON_SHAPE,
            "inspirations[0].content",
        ),
        (
            {"inspiration_1": ONE, "inspiration_2": TWO | {"content": None}},
            Reason.JSON_SHAPE,
            "inspiration_2.content",
        ),
        ({"track_1": track("1"), "track_2": {"title": "x"}}, Reason.JSON_SHAPE, "track_2.summary"),
        ({"track_1": track("1"), "track_2": track("2"), "selected_track": 3}, Reason.JSON_SHAPE, "selected_track"),
        (
            {"track_1": track("1"), "track_2": track("2"), "selected_track": {}},
            Reason.JSON_SHAPE,
            "selected_track",
        ),
        (
            {"track_1": track("1"), "track_2": track("2"), "selected_track": True},
            Reason.JSON_SHAPE,
            "selected_track",
        ),
        (
            {"track_1": track("1"), "track_2": track("2"), "selected_tracks": 1},
            Reason.JSON_SHAPE,
            "selected_tracks",
        ),
        ({"inspirations": []}, Reason.TOO_FEW_INSPIRATIONS, None),
        ({"inspirations": [ONE]}, Reason.TOO_FEW_INSPIRATIONS, None),
        ({"inspiration_1": ONE}, Reason.TOO_FEW_INSPIRATIONS, None),
        ({"track_1": track("1")}, Reason.TOO_FEW_INSPIRATIONS, None),
        (
            {"inspirations": [ONE, TWO | {"key_elements": "a, b"}]},
            Reason.KEY_ELEMENTS,
            "inspirations[1].key_elements",
        ),
        (
            {"inspirations": [ONE | {"key_elements": ["a", 1]}, TWO]},
            Reason.KEY_ELEMENTS,
            "inspirations[0].key_elements",
        ),
        (
            {"inspirations": [ONE | {"key_elements": None}, TWO]},
            Reason.KEY_ELEMENTS,
            "inspirations[0].key_elements",
        ),
        (
            {"inspirations": [{"title": "x", "content": "y"}, TWO]},
            Reason.KEY_ELEMENTS,
            "inspirations[0].key_elements",
        ),
    ],
)
def test_a_wrong_shape_is_malformed_and_says_where(value: Any, reason: Reason, section: str | None) -> None:
    with pytest.raises(Malformed) as raised:
        read(value)
    assert (raised.value.reason, raised.value.place.section) == (reason, section)


@pytest.mark.parametrize("value", [{"note": 1}, [1], "text", {}])
def test_a_document_of_another_name_need_not_hold_inspirations(value: Any) -> None:
    assert read(value, "notes.json") is None


def test_a_document_of_another_name_may_hold_inspirations() -> None:
    assert read({"inspirations": [ONE, TWO]}, "result.json") == PAIR
    with pytest.raises(Malformed):
        read({"inspirations": [ONE]}, "result.json")
