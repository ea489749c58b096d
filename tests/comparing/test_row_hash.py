"""The hash of a row's values sees every change, and is the same for what PostgreSQL gives back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields, replace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.comparing import Row, StoredRow, compared, row_sha256
from shared.database_url import DatabaseAddress
from shared.ids import RunId, Stage
from shared.rows import CanonicalJson, InspirationReportRow, OpportunityCardRow, StageOutputRow

RUN = RunId("run-1")
OUTPUT = StageOutputRow(RUN, Stage.TRENDS, "# Trends\n", '{"b": 1.0, "a": [1, 2]}')
CARD = OpportunityCardRow(RUN, 1, "Title", "Tagline", "Problem", "Solution", "Why", "Target", "Win")
REPORT = InspirationReportRow(RUN, "One", "First", ("a", "b"), "Two", "Second", ())


@pytest.mark.parametrize("row", [OUTPUT, CARD, REPORT], ids=lambda row: type(row).__name__)
def test_a_change_of_any_value_changes_the_hash(row: Row) -> None:
    other: dict[type, Any] = {str: "changed", RunId: "run-2", int: 2, Stage: Stage.LESSONS, tuple: ("x",)}
    hashes = {row_sha256(row)}
    values = [field for field in fields(row) if field.init]
    for field in values:
        value = '"changed"' if field.name == "json_output" else other[type(getattr(row, field.name))]
        hashes.add(row_sha256(replace(row, **{field.name: value})))
    assert len(hashes) == len(values) + 1


def test_text_cannot_move_between_two_fields() -> None:
    assert row_sha256(replace(CARD, title="ab", tagline="c")) != row_sha256(replace(CARD, title="a", tagline="bc"))
    elements = [("a", "b"), ("ab",), ("a", "b", ""), ("", "a", "b")]
    assert len({row_sha256(replace(REPORT, inspiration1_elements=each)) for each in elements}) == len(elements)
    moved = replace(REPORT, inspiration1_elements=("a",), inspiration2_title="b")
    assert row_sha256(moved) != row_sha256(REPORT)


def test_no_json_is_not_the_json_null() -> None:
    assert row_sha256(replace(OUTPUT, json_output=None)) != row_sha256(replace(OUTPUT, json_output="null"))


def test_a_canonical_form_that_is_remembered_goes_with_its_text_only() -> None:
    row = replace(OUTPUT, json_output='{"a":1}')
    row.remember_json_canonical(CanonicalJson(b'{"a":1}', has_fractions=False))
    assert row_sha256(row) == row_sha256(replace(OUTPUT, json_output='{"a": 1.0}'))
    assert row_sha256(replace(row, json_output='{"a":2}')) == row_sha256(replace(OUTPUT, json_output='{"a":2}'))


def test_bytes_that_are_remembered_go_with_their_text_only() -> None:
    row = replace(OUTPUT, markdown_output="# Größe")
    row.remember_markdown_utf8("# Größe".encode())
    assert row_sha256(row) == row_sha256(replace(OUTPUT, markdown_output="# Größe"))
    changed = replace(row, markdown_output="# Große")
    assert row_sha256(changed) == row_sha256(replace(OUTPUT, markdown_output="# Große"))
    assert compared(changed, row) == (row_sha256(changed), False)
    assert changed.markdown_utf8 is None


def test_json_counts_by_value_and_markdown_exactly() -> None:
    assert row_sha256(replace(OUTPUT, json_output='{"a":[1,2.0],"b":1}')) == row_sha256(OUTPUT)
    assert row_sha256(replace(OUTPUT, markdown_output="# Trends")) != row_sha256(OUTPUT)


def test_a_row_whose_hash_is_not_the_recorded_one_is_edited() -> None:
    recorded = row_sha256(CARD)
    assert not StoredRow("id", CARD, recorded).is_edited
    assert StoredRow("id", replace(CARD, title="Mine"), recorded).is_edited
    assert not StoredRow("id", CARD).is_edited


NUMBERS = [
    "1", "1.0", "-0", "-0.0", "1e2", "1.50e1", "1E-5", "1.000", "123456789012345678901234567890", "1e300", "-1e-300",
    "9007199254740993", "999999999999999999", "1000000000000000000", "0.1000000000000000055511151231257827", "0e10",
]  # fmt: skip

storable = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
literals = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-(2**80), 2**80).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=9).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    storable.map(json.dumps),
    storable.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(["true", "false", "null", "[]", "{}"]),
)
json_texts = st.recursive(
    literals,
    lambda children: st.one_of(
        st.lists(children, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(storable.map(json.dumps), children), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=20,
)


def test_what_postgresql_gives_back_has_the_hash_of_what_was_written(database_url: str) -> None:
    async def round_trips() -> None:
        connection = await asyncpg.connect(DatabaseAddress.parse(database_url).dsn)
        try:
            for text in await asyncio.to_thread(_samples):
                back = await connection.fetchval("SELECT $1::jsonb::text", text)
                row = replace(OUTPUT, json_output=text)
                assert row_sha256(replace(row, json_output=back)) == row_sha256(row), (text, back)
        finally:
            await connection.close()

    asyncio.run(round_trips())


def _samples() -> list[str]:
    samples = [f"[{number}]" for number in NUMBERS]

    @given(json_texts)
    def collect(text: str) -> None:
        samples.append(text)

    collect()
    return samples
