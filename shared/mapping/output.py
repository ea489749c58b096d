"""Output: one stage's documents as the rows that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from shared.comparing.json_value import canonical_value
from shared.documents import Document, in_natural_order, name_fault
from shared.errors import Malformed, Place
from shared.formats.card_headings import COLUMNS
from shared.formats.card_markdown import split_card
from shared.formats.cards import Card, is_card_document, missing_numbers, read_cards
from shared.formats.front_matter import read_front_matter
from shared.formats.inspirations import read_inspirations
from shared.formats.json_shape import as_object, optional_text
from shared.formats.json_text import JsonText, parse_json
from shared.formats.kinds import Kind, kind_of
from shared.formats.limits import MAX_COMPANY_ID_BYTES, MAX_OUTPUT_BYTES
from shared.formats.text import decode_markdown, is_storable
from shared.frozen import frozen
from shared.gaps import Gap, GapKind
from shared.ids import RunId, Stage
from shared.mapping.joined_markdown import join
from shared.mapping.kept import kept_documents
from shared.printable import NAME_CHARACTERS
from shared.reasons import Reason
from shared.rows import (
    CanonicalJson,
    FactSource,
    InspirationReportRow,
    MappedOutput,
    OpportunityCardRow,
    OutputFacts,
    StageOutputRow,
)

UNTITLED: Final = "Untitled"

#: The name of each stage's main JSON as it was planned.
PLANNED_JSON: Final[Mapping[Stage, str]] = {
    Stage.INSPIRATIONS: "inspirations.json",
    Stage.TRENDS: "trends.json",
    Stage.LESSONS: "lessons.json",
    Stage.CONTEXT: "context.json",
    Stage.OPPORTUNITIES: "opportunities.json",
}


_MAY_HAVE_FRONT_MATTER: Final = ("---", "```", "~~~", "\ufeff", " ", "\n", "\r")


@frozen
class _Texts:
    """The documents of an output, read; Markdown as (name, text) in natural order."""

    main_json: JsonText | None
    markdown: tuple[tuple[str, str], ...]


def map_output(run_id: RunId, stage: Stage, documents: Sequence[Document]) -> MappedOutput:
    """Return the rows that one stage's documents become, in whatever order they come.

    Raises Malformed, and nothing else, for the first fault in natural order of the documents.
    """
    ordered = in_natural_order(documents)
    _check_names_and_sizes(ordered)
    texts = _read(stage, ordered)
    report = _report(run_id, texts) if stage is Stage.INSPIRATIONS else None
    cards = read_cards(texts.main_json, texts.markdown) if stage is Stage.OPPORTUNITIES else ()
    main_json = texts.main_json
    markdown = join([each for each in ordered if kind_of(each.name) is Kind.MARKDOWN])
    stage_output = StageOutputRow(
        run_id=run_id,
        stage_number=stage,
        markdown_output=texts.markdown[0][1] if len(texts.markdown) == 1 else markdown.decode(),
        json_output=None if main_json is None else main_json.text,
    )
    stage_output.remember_markdown_utf8(markdown)
    if main_json is not None and (plain := main_json.plain) is not None:
        canonical = CanonicalJson(canonical_value(plain.value), plain.has_fractions)
        stage_output.remember_json_canonical(canonical)
    return MappedOutput(
        stage=stage,
        stage_output=stage_output,
        report=report,
        cards=tuple(_card_row(run_id, card) for card in cards),
        kept_documents=kept_documents(
            ordered,
            None if main_json is None else main_json.name,
            main_json_exact=main_json is None or main_json.exact,
        ),
        gaps=_gaps(stage, report, cards),
        facts=_facts(stage, texts),
    )


def main_json_name(stage: Stage, names: Sequence[str]) -> str | None:
    """Return which of the names, in natural order, is the stage's main JSON; None where there is no JSON.

    The planned name, else the only JSON, else the first.
    """
    json_names = [name for name in names if kind_of(name) is Kind.JSON]
    if PLANNED_JSON[stage] in json_names:
        return PLANNED_JSON[stage]
    return json_names[0] if json_names else None


def _check_names_and_sizes(ordered: Sequence[Document]) -> None:
    for document in ordered:
        fault = name_fault(document.name)
        if fault is not None and "\0" not in document.name:
            name = ascii(document.name[:NAME_CHARACTERS])
            raise Malformed(Reason.MESSAGE, f"The document name {name} is none: {fault}.", Place(name))
        if not is_storable(document.name):
            name = ascii(document.name)
            raise Malformed(
                Reason.UNSTORABLE_TEXT,
                f"The document name {name} contains what PostgreSQL can't store.",
                Place(name),
            )
    for document, following in pairwise(ordered):
        if following.name == document.name:
            raise Malformed(Reason.MESSAGE, f"Two documents have the name {document.name}.", Place(document.name))
    if not any(kind_of(document.name) is not Kind.OTHER for document in ordered):
        raise Malformed(Reason.NO_DOCUMENTS, "The output has neither JSON nor Markdown.")
    size = sum(len(document.content) for document in ordered)
    if size > MAX_OUTPUT_BYTES:
        largest = max(ordered, key=lambda document: len(document.content))
        raise Malformed(
            Reason.TOO_LARGE,
            f"The output has {size} bytes, more than {MAX_OUTPUT_BYTES}; the largest document is {largest.name}.",
            Place(largest.name),
        )


def _read(stage: Stage, ordered: Sequence[Document]) -> _Texts:
    main_name = main_json_name(stage, [document.name for document in ordered])
    main_json: JsonText | None = None
    markdown: list[tuple[str, str]] = []
    for document in ordered:
        kind = kind_of(document.name)
        if kind is Kind.MARKDOWN:
            markdown.append((document.name, decode_markdown(document)))
        elif document.name == main_name:
            main_json = parse_json(document)
        elif kind is Kind.JSON:
            parse_json(document, stored=False)
    if main_json is not None and main_json.name == PLANNED_JSON[stage]:
        as_object(main_json.name, "", main_json.value)
    return _Texts(main_json, tuple(markdown))


def _report(run_id: RunId, texts: _Texts) -> InspirationReportRow | None:
    inspirations = None if texts.main_json is None else read_inspirations(texts.main_json)
    if inspirations is None:
        return None
    first, second = inspirations
    return InspirationReportRow(
        run_id=run_id,
        inspiration1_title=first.title,
        inspiration1_content=first.content,
        inspiration1_elements=first.key_elements,
        inspiration2_title=second.title,
        inspiration2_content=second.content,
        inspiration2_elements=second.key_elements,
    )


def _card_row(run_id: RunId, card: Card) -> OpportunityCardRow:
    title = card.title if card.title.strip() else UNTITLED
    sections: dict[str, str] = {column: card.sections.get(column, "") for column in COLUMNS}
    return OpportunityCardRow(run_id=run_id, number=card.number, title=title, **sections)


def _gaps(stage: Stage, report: InspirationReportRow | None, cards: Sequence[Card]) -> tuple[Gap, ...]:
    if stage is Stage.INSPIRATIONS and report is None:
        return (Gap(GapKind.NO_REPORT, "no inspiration report: no document holds two inspirations as JSON"),)
    if stage is not Stage.OPPORTUNITIES:
        return ()
    gaps: list[Gap] = []
    for card in cards:
        if not card.title.strip():
            gaps.append(Gap(GapKind.UNTITLED, f"card {card.number} has no title"))
        missing = [column for column in COLUMNS if column not in card.sections]
        if missing:
            gaps.append(Gap(GapKind.MISSING_SECTIONS, f"card {card.number} has no {', '.join(missing)}"))
    numbers = ", ".join(map(str, missing_numbers(cards)))
    if numbers:
        text = f"card {numbers} is missing" if len(numbers) == 1 else f"cards {numbers} are missing"
        gaps.append(Gap(GapKind.MISSING_CARDS, text))
    return tuple(gaps)


def _facts(stage: Stage, texts: _Texts) -> OutputFacts:
    """Return what the output says about its run; of several documents the first in natural order is believed."""
    company_id = _brand_id(texts.main_json) if stage is Stage.CONTEXT else None
    document_name: tuple[str, FactSource] | None = None
    for name, text in texts.markdown:
        if not text.startswith(_MAY_HAVE_FRONT_MATTER):
            continue
        front_matter = _front_matter(stage, texts.main_json, name, text)
        brand, input_source = front_matter.get("brand"), front_matter.get("input_source")
        if company_id is None and brand is not None:
            company_id = brand, FactSource.FRONT_MATTER
        if document_name is None and input_source is not None:
            document_name = input_source, FactSource.FRONT_MATTER
    return OutputFacts(company_id, document_name)


def _front_matter(stage: Stage, main_json: JsonText | None, name: str, text: str) -> Mapping[str, str]:
    """Return the front matter of a document; only where the document is read as a card must it be sound."""
    try:
        front_matter = read_front_matter(name, split_card(text).front_matter)
        _company_id(name, "brand", front_matter.get("brand", ""))
    except Malformed:
        is_read = stage is Stage.OPPORTUNITIES and is_card_document(name)
        if is_read and (main_json is None or main_json.name != PLANNED_JSON[stage]):
            raise
        return {}
    return {key: value.strip() for key, value in front_matter.items() if value.strip()}


def _brand_id(main_json: JsonText | None) -> tuple[str, FactSource] | None:
    if main_json is None or main_json.name != PLANNED_JSON[Stage.CONTEXT]:
        return None
    brand_id = optional_text(main_json.name, "brand_id", main_json.value.get("brand_id"))
    if not brand_id.strip():
        return None
    return _company_id(main_json.name, "brand_id", brand_id), FactSource.CONTEXT_JSON


def _company_id(document: str, key: str, value: str) -> str:
    if len(value.encode()) > MAX_COMPANY_ID_BYTES:
        raise Malformed(
            Reason.TOO_LARGE,
            f"{key} of {document} is longer than {MAX_COMPANY_ID_BYTES} bytes.",
            Place(document, section=key),
        )
    return value
