"""Joined Markdown splits back into exactly what was joined."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.documents import Document, in_natural_order
from shared.errors import NotRestorable
from shared.mapping.joined_markdown import join, split

HEADER_LIKE = join((Document("a.md", b"x"), Document("b.md", b"y"))).decode()

names = st.one_of(
    st.integers(1, 12).map("opportunity-{}.md".format),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8).map(lambda stem: f"{stem}.md"),
    st.sampled_from(["-->.md", '" bytes=3.md', "a\nb.md", "%2D%.md", "\u00e9.md", "e\u0301.md", "--.md", "/.md"]),
)
pieces = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(
        ["\r\n", "\n", "\r", "\ufeff", "---\n", "<!--", "-->", HEADER_LIKE, HEADER_LIKE[:40], "\u2028", " "]
    ),
)
contents = st.lists(pieces, max_size=5).map(lambda found: "".join(found).encode())
document_sets = st.dictionaries(names, contents, max_size=6).map(
    lambda found: tuple(Document(name, content) for name, content in found.items())
)


@given(document_sets)
@example((Document("a.md", b""), Document("b.md", b"")))
@example((Document("a.md", HEADER_LIKE.encode()), Document("b.md", HEADER_LIKE.encode())))
@example((Document("a.md", HEADER_LIKE.encode()),))
def test_split_gives_back_what_was_joined(documents: tuple[Document, ...]) -> None:
    ordered = in_natural_order(documents)
    assert split(join(documents).decode(), [document.name for document in ordered]) == ordered


@given(document_sets, document_sets)
def test_different_documents_never_join_to_the_same_text(
    one: tuple[Document, ...], other: tuple[Document, ...]
) -> None:
    one, other = in_natural_order(one), in_natural_order(other)
    same_names = [document.name for document in one] == [document.name for document in other]
    assert not same_names or (join(one) == join(other)) == (one == other)


def test_one_document_stands_as_it_is() -> None:
    assert join((Document("trend-analysis.md", b"\xef\xbb\xbf# Trends\r\n"),)) == b"\xef\xbb\xbf# Trends\r\n"


def test_no_document_is_the_empty_text() -> None:
    assert join(()) == b""
    assert split("", []) == ()


def test_several_documents_stand_in_natural_order_each_after_a_comment() -> None:
    joined = join((Document("opportunity-10.md", b"ten"), Document("opportunity-2.md", b"# two\n")))
    lines = joined.decode().split("\n")
    assert lines[0].startswith('<!-- runferry document="opportunity-2.md" bytes=6 sha256=')
    assert lines[1:3] == ["# two", ""]
    assert lines[3].startswith('<!-- runferry document="opportunity-10.md" bytes=3 sha256=')
    assert lines[4:] == ["ten", ""]


@pytest.mark.parametrize("name", ["-->.md", "a--!>b.md", '".md', "a\nb.md", "\u00e9 \u4e2d.md"])
def test_no_name_can_end_its_comment(name: str) -> None:
    header = join((Document(name, b"x"), Document("z.md", b"y"))).decode().split("\n")[0]
    assert header.isascii()
    assert header.count("-->") == 1
    assert header.endswith(" -->")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("one", "One"),
        lambda text: text.replace("one", "one more"),
        lambda text: text.replace("one", ""),
        lambda text: text[:-1],
        lambda text: text + "more",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: "",
        lambda text: text.replace("bytes=4", "bytes=" + "9" * 5000),
        lambda text: text.replace("a.md", "c.md"),
    ],
)
def test_a_joined_text_that_was_edited_is_never_split_wrongly(change: object) -> None:
    text = join((Document("a.md", b"one\n"), Document("b.md", b"two\n"))).decode()
    with pytest.raises(NotRestorable):
        split(change(text), ["a.md", "b.md"])  # type: ignore[operator]


def test_one_document_that_was_edited_comes_back_as_edited() -> None:
    assert split("edited", ["a.md"]) == (Document("a.md", b"edited"),)
