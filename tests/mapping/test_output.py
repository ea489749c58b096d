"""One stage's documents become its rows, its gaps and its facts, or are malformed for one reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.documents import Document
from shared.errors import Malformed
from shared.formats import limits
from shared.gaps import Gap, GapKind
from shared.ids import RunId, Stage
from shared.mapping import map_output, output
from shared.reasons import Reason
from shared.rows import FactSource, InspirationReportRow, MappedOutput, OpportunityCardRow, StageOutputRow

RUN = RunId("test-run-001")
PAIR = {
    "inspirations": [
        {"title": "One", "content": "First.", "key_elements": ["a", "b"]},
        {"title": "Two", "content": "Second.", "key_elements": []},
    ]
}
CARD = "# Shelf\n\n## Tagline\na\n## Problem\nb\n## Solution\nc\n## Why Now\nd\n## Target Segment\ne\n## Quick Win\nf\n"


def document(name: str, content: Any) -> Document:
    if isinstance(content, bytes):
        return Document(name, content)
    return Document(name, (content if isinstance(content, str) else json.dumps(content)).encode())


def mapped(stage: int, **contents: Any) -> MappedOutput:
    """Map documents given by name, a name's `__` standing for its dot and `_` for its dash."""
    documents = [document(name.replace("__", ".").replace("_", "-"), each) for name, each in contents.items()]
    return map_output(RUN, Stage(stage), documents)


def fault(stage: int, *documents: Document) -> Malformed:
    with pytest.raises(Malformed) as raised:
        map_output(RUN, Stage(stage), documents)
    return raised.value


def test_inspirations_become_a_report_and_a_stage_output() -> None:
    result = mapped(1, inspirations__json=PAIR, inspiration_analysis__md="# Analysis\n")
    assert result.stage_output == StageOutputRow(RUN, Stage.INSPIRATIONS, "# Analysis\n", json.dumps(PAIR))
    assert result.report == InspirationReportRow(RUN, "One", "First.", ("a", "b"), "Two", "Second.", ())
    assert (result.cards, result.kept_documents, result.gaps) == ((), (), ())


def test_inspirations_as_markdown_alone_leave_a_gap() -> None:
    result = mapped(1, inspiration_analysis__md="# Analysis\n")
    assert (result.report, result.stage_output.json_output) == (None, None)
    assert [gap.kind for gap in result.gaps] == [GapKind.NO_REPORT]


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_markdown_alone_is_a_whole_output_of_the_middle_stages(stage: int) -> None:
    text = "```markdown\r\n# Fenced\r\n```"
    result = mapped(stage, trend_analysis__md=text)
    assert result.stage_output == StageOutputRow(RUN, Stage(stage), text, None)
    assert result.gaps == ()


def test_json_alone_has_empty_markdown() -> None:
    assert mapped(2, trends__json={"trends": []}).stage_output.markdown_output == ""


def test_a_planned_card_fills_its_row() -> None:
    documents = [document(f"opportunity-{number}.md", CARD) for number in (5, 4, 3, 2, 1)]
    result = map_output(RUN, Stage.OPPORTUNITIES, documents)
    assert result.cards == tuple(
        OpportunityCardRow(RUN, number, "Shelf", "a", "b", "c", "d", "e", "f") for number in range(1, 6)
    )
    assert result.gaps == ()
    assert result.stage_output.json_output is None
    assert result.stage_output.markdown_output.count("# Shelf") == 5


def test_what_cards_lack_is_empty_and_named_in_a_gap() -> None:
    result = mapped(5, opportunity_2__md="## Problem\nb\n", opportunity_4__md=CARD)
    assert result.cards[0] == OpportunityCardRow(RUN, 2, "Untitled", "", "b", "", "", "", "")
    assert result.gaps == (
        Gap(GapKind.UNTITLED, "card 2 has no title"),
        Gap(GapKind.MISSING_SECTIONS, "card 2 has no tagline, solution, why_now, target_segment, quick_win"),
        Gap(GapKind.MISSING_CARDS, "cards 1, 3, 5 are missing"),
    )


@pytest.mark.parametrize(
    "contents", [{"summary__md": "# Nothing\n"}, {"opportunities__json": {"opportunities": []}}]
)
def test_no_card_at_all_is_a_gap(contents: dict[str, Any]) -> None:
    result = mapped(5, **contents)
    assert result.cards == ()
    assert result.gaps == (Gap(GapKind.MISSING_CARDS, "cards 1, 2, 3, 4, 5 are missing"),)


def test_one_missing_card_is_named_alone() -> None:
    result = mapped(5, **{f"opportunity_{number}__md": CARD for number in (1, 2, 4, 5)})
    assert result.gaps == (Gap(GapKind.MISSING_CARDS, "card 3 is missing"),)


def test_the_planned_json_is_the_main_one_wherever_it_sorts() -> None:
    result = mapped(2, a__json={"a": 1}, trends__json={"b": 2}, z__json=[3])
    assert result.stage_output.json_output == '{"b": 2}'
    assert [kept.name for kept in result.kept_documents] == ["a.json", "z.json"]


def test_without_the_planned_json_the_first_in_natural_order_is_the_main_one() -> None:
    result = mapped(2, t10__json=[10], t9__json=[9])
    assert result.stage_output.json_output == "[9]"
    assert [kept.name for kept in result.kept_documents] == ["t10.json"]


def test_json_that_jsonb_would_change_is_kept_as_bytes_too() -> None:
    text = b'{"a": 1, "a": -0.0}'
    result = map_output(RUN, Stage.TRENDS, [Document("trends.json", text)])
    assert result.stage_output.json_output == text.decode()
    assert result.kept_documents == (Document("trends.json", text),)


def test_other_documents_are_kept_and_never_read() -> None:
    odd = Document("notes.txt", b"\xff\0")
    result = map_output(RUN, Stage.TRENDS, [odd, document("trends.json", {})])
    assert result.kept_documents == (odd,)


def test_the_company_comes_from_context_json_before_front_matter() -> None:
    front_matter = "---\nbrand: other\ninput_source: idea.pdf\n---\n# T\n"
    result = mapped(4, context__json={"brand_id": "halewick-dairy"}, notes__md=front_matter)
    assert result.facts.company_id == ("halewick-dairy", FactSource.CONTEXT_JSON)
    assert result.facts.document_name == ("idea.pdf", FactSource.FRONT_MATTER)


@pytest.mark.parametrize("brand_id", [None, "", "  "])
def test_a_context_without_a_brand_says_nothing(brand_id: str | None) -> None:
    assert mapped(4, context__json={"brand_id": brand_id}).facts.company_id is None


def test_only_context_json_names_the_company() -> None:
    assert mapped(2, trends__json={"brand_id": "x"}).facts.company_id is None
    assert mapped(4, other__json={"brand_id": 7}).facts.company_id is None


def test_the_first_document_that_says_something_is_believed() -> None:
    result = mapped(
        5,
        opportunity_1__md=f"---\nbrand: ''\ninput_source: null\n---\n{CARD}",
        opportunity_2__md=f"```markdown\n---\nbrand: second\n---\n{CARD}```\n",
        opportunity_3__md=f"---\nbrand: third\ninput_source: third.pdf\n---\n{CARD}",
    )
    assert result.facts.company_id == ("second", FactSource.FRONT_MATTER)
    assert result.facts.document_name == ("third.pdf", FactSource.FRONT_MATTER)


def test_broken_front_matter_is_malformed_only_where_a_card_is_read_from_it() -> None:
    broken = f"---\nbrand: a: b\n---\n{CARD}"
    assert fault(5, document("opportunity-1.md", broken)).reason is Reason.FRONT_MATTER
    assert mapped(3, universal_lessons__md=broken).facts.company_id is None
    cards = {"opportunities": [{"title": "T", "problem": "p"}]}
    assert len(mapped(5, opportunities__json=cards, opportunity_1__md=broken).cards) == 1


@pytest.mark.parametrize(
    ("stage", "name", "content", "reason"),
    [
        (1, "inspirations.json", b"", Reason.EMPTY_FILE),
        (2, "trend-analysis.md", b"", Reason.EMPTY_FILE),
        (2, "trend-analysis.md", b"\xef\xbb\xbf \n", Reason.EMPTY_FILE),
        (3, "universal-lessons.md", "Größe".encode("latin-1"), Reason.NOT_UTF8),
        (2, "trends.json", "{'a': 1}", Reason.NOT_JSON),
        (2, "trends.json", "[]", Reason.JSON_SHAPE),
        (3, "lessons.json", '"text"', Reason.JSON_SHAPE),
        (4, "context.json", "null", Reason.JSON_SHAPE),
        (4, "context.json", '{"brand_id": 7}', Reason.JSON_SHAPE),
        (4, "context.json", json.dumps({"brand_id": "x" * 1025}), Reason.TOO_LARGE),
        (5, "opportunity-1.md", f"---\nbrand: {'x' * 1025}\n---\n{CARD}", Reason.TOO_LARGE),
        (5, "opportunities.json", "[]", Reason.JSON_SHAPE),
        (2, "trends.json", "{" + '"a":{' * 600 + "}" * 601, Reason.JSON_TOO_DEEP),
        (2, "trends.json", '{"a": NaN}', Reason.JSON_NOT_FINITE),
        (2, "trends.json", '{"a": 1e999999}', Reason.JSON_NUMBER_OUT_OF_RANGE),
        (2, "trends.json", '{"a": "\\u0000"}', Reason.UNSTORABLE_TEXT),
        (2, "trends.json", '{"a": "\\ud800"}', Reason.UNSTORABLE_TEXT),
        (2, "trend-analysis.md", "a\n\0", Reason.UNSTORABLE_TEXT),
        (2, "a\0.md", "a", Reason.UNSTORABLE_TEXT),
        (2, "a\udc80.md", "a", Reason.UNSTORABLE_TEXT),
        (2, "notes.txt", "a", Reason.NO_DOCUMENTS),
        (1, "inspirations.json", '{"inspirations": []}', Reason.TOO_FEW_INSPIRATIONS),
        (1, "inspirations.json", '{"inspirations": [{"title": "", "content": ""}, {}]}', Reason.KEY_ELEMENTS),
        (5, "opportunity-6.md", CARD, Reason.CARD_NUMBER),
        (5, "opportunity-1.md", "# T\n", Reason.CARD_WITHOUT_SECTIONS),
        (5, "opportunities.json", '{"opportunities": [{"tagline": "a", "number": 9}]}', Reason.CARD_NUMBER),
    ],
)
def test_each_fault_of_an_output_has_its_reason(
    stage: int, name: str, content: str | bytes, reason: Reason
) -> None:
    error = fault(stage, document(name, content))
    assert error.reason is reason
    assert error.sentence
    assert error.place.document in (name, ascii(name), None)
    for part in (error.sentence, error.place.document or "", error.place.section or ""):
        assert "\0" not in part
        part.encode()


def test_no_documents_are_no_output() -> None:
    assert fault(2).reason is Reason.NO_DOCUMENTS


def test_two_documents_of_one_name_are_no_message() -> None:
    assert fault(2, document("a.md", "x"), document("b.md", "x"), document("a.md", "x")).reason is Reason.MESSAGE


def test_a_broken_second_json_is_malformed_though_no_column_holds_it() -> None:
    error = fault(2, document("trends.json", {}), document("more.json", "{"))
    assert (error.reason, error.place.document) == (Reason.NOT_JSON, "more.json")


def test_a_second_json_may_hold_what_jsonb_cannot() -> None:
    result = mapped(2, trends__json={}, more__json='["\\u0000", 1e999999]')
    assert [kept.name for kept in result.kept_documents] == ["more.json"]


def test_broken_json_is_malformed_beside_good_cards() -> None:
    error = fault(5, document("opportunities.json", "{"), document("opportunity-1.md", CARD))
    assert error.reason is Reason.NOT_JSON


def test_an_output_above_the_size_limit_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_OUTPUT_BYTES > 8 * 1024 * 1024
    monkeypatch.setattr(output, "MAX_OUTPUT_BYTES", 100)
    assert fault(2, document("a.md", "x" * 40), document("b.md", "x" * 61)).place.document == "b.md"
    assert fault(2, document("a.md", "x" * 101)).reason is Reason.TOO_LARGE


def test_of_several_faults_the_first_document_in_natural_order_tells_its_own() -> None:
    documents = [document("t10.md", b"\xff"), document("t9.md", b""), document("trends.json", "{")]
    for order in (documents, documents[::-1], documents[1:] + documents[:1]):
        assert fault(2, *order).place.document == "t9.md"
