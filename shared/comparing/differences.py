"""Differences: the rows that an output should be, compared field by field with the rows that are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from shared.comparing.json_value import first_difference
from shared.comparing.stored import StoredRows
from shared.rows import InspirationReportRow, MappedOutput, StageOutputRow

#: Characters of an excerpt before and after the place of a difference.
_BEFORE: Final = 20
_AFTER: Final = 40
_ELLIPSIS: Final = "…"

_CARD_FIELDS: Final = ("title", "tagline", "problem", "solution", "why_now", "target_segment", "quick_win")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs, or a row that one side lacks (`field` is empty, the lacking side is None).

    `number` is the stage's or the card's, 0 for a report. `position` is where the values part: "character 17
    (line 2, column 5)", or a path such as "$.inspirations[0].title" in JSON.
    """

    table: str
    number: int
    field: str
    expected: str | None
    actual: str | None
    position: str = ""


def differences(expected: MappedOutput, actual: StoredRows) -> tuple[Difference, ...]:
    """Return everything in which the rows that are there differ from the expected ones; stars don't count."""
    return (
        *_stage_output(expected.stage_output, actual),
        *_report(expected.report, actual),
        *_cards(expected, actual),
    )


def _stage_output(expected: StageOutputRow, actual: StoredRows) -> Iterator[Difference]:
    table, number = "StageOutput", expected.stage_number.value
    if actual.stage_output is None:
        yield _lacking(table, number)
        return
    values = actual.stage_output.values
    yield from _text(table, number, "markdownOutput", expected.markdown_output, values.markdown_output)
    yield from _json(table, number, "jsonOutput", expected.json_output, values.json_output)


def _report(expected: InspirationReportRow | None, actual: StoredRows) -> Iterator[Difference]:
    table = "InspirationReport"
    if expected is None or actual.report is None:
        yield from _presence(table, 0, expected is not None, actual.report is not None)
        return
    values = actual.report.values
    yield from _text(table, 0, "inspiration1Title", expected.inspiration1_title, values.inspiration1_title)
    yield from _text(table, 0, "inspiration1Content", expected.inspiration1_content, values.inspiration1_content)
    yield from _list(
        table, 0, "inspiration1Elements", expected.inspiration1_elements, values.inspiration1_elements
    )
    yield from _text(table, 0, "inspiration2Title", expected.inspiration2_title, values.inspiration2_title)
    yield from _text(table, 0, "inspiration2Content", expected.inspiration2_content, values.inspiration2_content)
    yield from _list(
        table, 0, "inspiration2Elements", expected.inspiration2_elements, values.inspiration2_elements
    )


def _cards(expected: MappedOutput, actual: StoredRows) -> Iterator[Difference]:
    table = "OpportunityCard"
    wanted = {card.number: card for card in expected.cards}
    held = {card.values.number: card.values for card in actual.cards}
    for number in sorted(wanted.keys() | held.keys()):
        if number in wanted and number in held:
            for field in _CARD_FIELDS:
                yield from _text(
                    table, number, field, getattr(wanted[number], field), getattr(held[number], field)
                )
        else:
            yield from _presence(table, number, number in wanted, number in held)


def _presence(table: str, number: int, is_expected: bool, is_there: bool) -> Iterator[Difference]:
    if is_expected and not is_there:
        yield _lacking(table, number)
    elif is_there and not is_expected:
        yield Difference(table, number, "", None, "a row")


def _lacking(table: str, number: int) -> Difference:
    return Difference(table, number, "", "a row", None)


def _text(table: str, number: int, field: str, expected: str, actual: str) -> Iterator[Difference]:
    if expected == actual:
        return
    at = _common_length(expected, actual)
    line = expected.count("\n", 0, at) + 1
    column = at - (expected.rfind("\n", 0, at) + 1) + 1
    position = f"character {at + 1} (line {line}, column {column})"
    yield Difference(table, number, field, _excerpt(expected, at), _excerpt(actual, at), position)


def _list(
    table: str, number: int, field: str, expected: tuple[str, ...], actual: tuple[str, ...]
) -> Iterator[Difference]:
    for index in range(max(len(expected), len(actual))):
        one = expected[index] if index < len(expected) else None
        other = actual[index] if index < len(actual) else None
        if one == other:
            continue
        position = f"item {index + 1}"
        if one is None or other is None:
            yield Difference(table, number, field, _optional_excerpt(one), _optional_excerpt(other), position)
        else:
            for found in _text(table, number, field, one, other):
                yield replace(found, position=f"{position}, {found.position}")
        return


def _json(table: str, number: int, field: str, expected: str | None, actual: str | None) -> Iterator[Difference]:
    if expected == actual:
        return
    if expected is None or actual is None:
        yield Difference(table, number, field, _optional_excerpt(expected), _optional_excerpt(actual), "$")
        return
    found = first_difference(expected, actual)
    if found is not None:
        at = _common_length(found.expected or "", found.actual or "")
        yield Difference(
            table,
            number,
            field,
            _optional_excerpt(found.expected, at),
            _optional_excerpt(found.actual, at),
            found.path,
        )


def _common_length(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _optional_excerpt(text: str | None, at: int = 0) -> str | None:
    return None if text is None else _excerpt(text, at)


def _excerpt(text: str, at: int) -> str:
    start, end = max(0, at - _BEFORE), at + _AFTER
    return (_ELLIPSIS if start else "") + text[start:end] + (_ELLIPSIS if end < len(text) else "")
