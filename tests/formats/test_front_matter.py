"""Front matter gives text and nothing else; what is no front matter stays in the body."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Malformed
from shared.formats.front_matter import read_front_matter, split_front_matter
from shared.formats.limits import MAX_FRONT_MATTER_CHARS
from shared.reasons import Reason


def read(text: str) -> dict[str, str]:
    return dict(read_front_matter("card.md", split_front_matter(text).front_matter))


def test_text_values_are_read_as_they_are_written() -> None:
    text = (
        "---\n"
        "opportunity_id: 007\n"
        "brand: halewick-dairy # the customer\n"
        'input_source: "Größe: 5.pdf"\n'
        "timestamp: 2025-13-45T99:00:00\n"
        "tags: [a, {b: c}]\n"
        "enabled: yes\n"
        "---\n# T\n"
    )
    assert read(text) == {
        "opportunity_id": "007",
        "brand": "halewick-dairy",
        "input_source": "Größe: 5.pdf",
        "timestamp": "2025-13-45T99:00:00",
        "enabled": "yes",
    }


def test_nulls_and_nested_values_are_no_text() -> None:
    nulls = "brand: ~\ninput_source:\nquoted: '~'\n"
    nested = "? [x]\n: y\n? {k: v}\n: {brand: nested}\na: &x [1]\nb: *x\nc: d\n"
    text = f"---\n{nulls}{nested}---\n"
    assert read(text) == {"quoted": "~", "c": "d"}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("closing", ["---", "...", "---  "])
def test_the_body_follows_the_closing_line(newline: str, mark: str, closing: str) -> None:
    text = mark + newline.join(["---", "brand: x", closing, "# T", "---", "rest"])
    split = split_front_matter(text)
    assert split.front_matter == f"brand: x{newline}"
    assert split.body.lstrip() == newline.join(["# T", "---", "rest"])


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nA text after a rule.\n\n---\n\nmore\n",
        "---\n# T\n---\n",
        "---\nbrand: x\n# never closed\n",
        "----\nbrand: x\n---\n",
        "text\n---\nbrand: x\n---\n",
        " ---\nbrand: x\n---\n",
        "---\n- a\n- b\n---\n",
        "---\n---\n",
        "---\nbrand: x\n" + "# filler\n" * MAX_FRONT_MATTER_CHARS + "---\n",
    ],
)
def test_thematic_breaks_are_no_front_matter(text: str) -> None:
    split = split_front_matter(text)
    assert (split.front_matter, split.body) == (None, text)


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("brand: a: b", 2),
        ("brand: x\ntags: [a", 4),
        ("brand: x\n\ttags: y", 3),
        ('brand: "x', 3),
        ("brand: x\nb\x07: y", None),
    ],
)
def test_yaml_that_cannot_be_read_is_malformed_with_its_line(block: str, line: int | None) -> None:
    with pytest.raises(Malformed) as raised:
        read(f"---\n{block}\n---\n")
    assert raised.value.reason is Reason.FRONT_MATTER
    assert raised.value.place.line == line


def test_escapes_of_what_postgresql_cannot_store_are_malformed() -> None:
    with pytest.raises(Malformed) as raised:
        read('---\nbrand: "a\\0b"\n---\n')
    assert raised.value.reason is Reason.UNSTORABLE_TEXT


@pytest.mark.parametrize(
    "block",
    [
        "a: !!python/object/apply:os.system ['false']\nbrand: x",
        "a: &a [x]\n"
        + "\n".join(f"b{i}: &b{i} [*{'a' if i == 0 else f'b{i - 1}'}, *a]" for i in range(400))
        + "\nbrand: x",
        "brand: x\n<<: {brand: y}",
    ],
)
def test_tags_aliases_and_merges_make_nothing(block: str) -> None:
    assert read(f"---\n{block}\n---\n")["brand"] == "x"


@pytest.mark.parametrize(
    "block", ["[" * 12_000, "{a: " * 4_000, "- " * 8_000, "? " * 8_000, "&a " * 5_000, "'" * 16_000]
)
def test_hostile_yaml_neither_crashes_nor_recurses(block: str) -> None:
    with suppress(Malformed):
        read(f"---\na: {block}\n---\n")


@given(st.text(alphabet="ab:-[]{}'\"&*!|> \n#~?,%@", max_size=60))
@settings(deadline=None)
def test_any_block_is_read_or_malformed(block: str) -> None:
    with suppress(Malformed):
        assert all(isinstance(value, str) for value in read(f"---\nk: v\n{block}\n---\n").values())
