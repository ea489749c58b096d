"""Documents -> rows -> documents is the identity: Markdown byte for byte, JSON by value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.comparing.json_value import canonical_json
from shared.documents import Document, in_natural_order
from shared.errors import NotRestorable
from shared.formats.kinds import Kind, kind_of
from shared.ids import RunId, Stage
from shared.mapping.manifest import ManifestText, is_manifest_of, manifest_text, names_in
from shared.mapping.output import map_output
from shared.mapping.restored import restore

RUN = RunId("run-1")
storable = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number != 0),
        storable,
    ),
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(storable, children, max_size=4)),
    max_leaves=12,
)
json_contents = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(),
    st.dictionaries(storable, json_values, max_size=4),
    st.sampled_from([None, 2]),
    st.booleans(),
)
markdown_contents = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30
).map(lambda text: f"# Title\n{text}".encode())
outputs = st.dictionaries(
    st.sampled_from(["trend-analysis.md", "notes.md", "B.md", "a 10.md", "a 2.md"]), markdown_contents, max_size=4
).flatmap(
    lambda markdown: st.dictionaries(
        st.sampled_from(["trends.json", "extra.json", "Other.json"]), json_contents, max_size=3
    ).map(lambda found: tuple(Document(name, content) for name, content in {**markdown, **found}.items()))
)


def _as_values(documents: tuple[Document, ...]) -> list[tuple[str, Any]]:
    return [
        (document.name, document.content if _is_markdown(document) else canonical_json(document.content.decode()))
        for document in documents
    ]


def _is_markdown(document: Document) -> bool:
    return kind_of(document.name) is Kind.MARKDOWN


@given(outputs.filter(bool))
def test_rows_give_back_the_documents_that_became_them(documents: tuple[Document, ...]) -> None:
    mapped = map_output(RUN, Stage.TRENDS, documents)
    restored = restore(mapped.stage_output, mapped.kept_documents, names_in(manifest_text(documents)))
    assert _as_values(restored) == _as_values(in_natural_order(documents))


@pytest.mark.parametrize(
    "content", [b'{"a": 1, "a": 2}', b'{"a": -0.0}', b'{"a": -0}', b'\xef\xbb\xbf{"a": {"b": 1, "b": 1}}']
)
def test_json_that_jsonb_would_change_comes_back_byte_for_byte(content: bytes) -> None:
    documents = (Document("trends.json", content),)
    mapped = map_output(RUN, Stage.TRENDS, documents)
    assert restore(mapped.stage_output, mapped.kept_documents, names_in(manifest_text(documents))) == documents


def test_what_was_edited_in_the_rows_comes_back_as_edited() -> None:
    documents = (Document("notes.md", b"# Notes"), Document("trends.json", b'{"a": 1}'))
    row = map_output(RUN, Stage.TRENDS, documents).stage_output
    edited = replace(row, markdown_output="# Changed", json_output='{"a": 2}')
    restored = restore(edited, (), names_in(manifest_text(documents)))
    assert restored == (Document("notes.md", b"# Changed"), Document("trends.json", b'{"a": 2}'))


@pytest.mark.parametrize(
    "changes",
    [{"json_output": None}, {"markdown_output": "no borders at all"}, {"markdown_output": ""}],
    ids=str,
)
def test_rows_that_lost_a_document_are_not_restorable(changes: dict[str, Any]) -> None:
    documents = (Document("a.md", b"# A"), Document("b.md", b"# B"), Document("trends.json", b"{}"))
    row = map_output(RUN, Stage.TRENDS, documents).stage_output
    with pytest.raises(NotRestorable):
        restore(replace(row, **changes), (), names_in(manifest_text(documents)))


def test_a_lost_kept_document_is_told() -> None:
    documents = (Document("extra.json", b"[]"), Document("trends.json", b"{}"))
    mapped = map_output(RUN, Stage.TRENDS, documents)
    with pytest.raises(NotRestorable):
        restore(mapped.stage_output, (), names_in(manifest_text(documents)))


def test_a_manifest_survives_jsonb_which_gives_it_back_in_other_words() -> None:
    documents = (Document("b.md", b"x"), Document("a.json", b"{}"))
    kept = ManifestText(json.dumps(json.loads(manifest_text(documents)), sort_keys=True, indent=1))
    assert names_in(kept) == ("a.json", "b.md")
    assert is_manifest_of(kept, in_natural_order(documents))


@pytest.mark.parametrize(
    "found",
    [
        (),
        (Document("a.json", b"{}"),),
        (Document("b.md", b"x"), Document("a.json", b"{}")),
        (Document("a.json", b"[]"), Document("b.md", b"x")),
        (Document("a.json", b"{}"), Document("b.md", b"x y")),
        (Document("a.json", b"{}"), Document("c.md", b"x")),
        (Document("a.json", b"{}"), Document("b.md", b"x"), Document("c.md", b"x")),
    ],
    ids=str,
)
def test_a_manifest_is_that_of_its_documents_alone(found: tuple[Document, ...]) -> None:
    manifest = manifest_text((Document("a.json", b"{}"), Document("b.md", b"x")))
    assert not is_manifest_of(manifest, found)


@pytest.mark.parametrize("damaged", ["{}", "null", "[]", "[1]", '[{"name": "a.json"}]'])
def test_a_damaged_manifest_is_no_output_s(damaged: str) -> None:
    assert not is_manifest_of(ManifestText(damaged), (Document("a.json", b"{}"),))
