"""What the content hash covers, and natural order."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from shared.documents import Document, content_sha256, in_natural_order

short = st.binary(max_size=3)
names = st.text("ab.", max_size=3)
document_lists = st.lists(st.builds(Document, names, short), max_size=4).map(tuple)


@given(document_lists, st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_the_order_of_documents(
    documents: tuple[Document, ...], random: object
) -> None:
    shuffled = list(documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content_sha256(shuffled) == content_sha256(documents)


@given(document_lists, document_lists)
def test_other_names_contents_or_borders_give_another_hash(
    one: tuple[Document, ...], other: tuple[Document, ...]
) -> None:
    def as_set(documents: tuple[Document, ...]) -> list[tuple[str, bytes]]:
        return sorted((document.name, document.content) for document in documents)

    assert (content_sha256(one) == content_sha256(other)) == (as_set(one) == as_set(other))


def test_bytes_cannot_move_between_a_name_and_a_content() -> None:
    assert content_sha256([Document("ab", b"c")]) != content_sha256([Document("a", b"bc")])


def test_bytes_cannot_move_between_two_documents() -> None:
    one = [Document("a", b"x"), Document("b", b"yz")]
    other = [Document("a", b"xy"), Document("b", b"z")]
    assert content_sha256(one) != content_sha256(other)


def test_the_hash_is_the_documented_one() -> None:
    framed = b"".join(
        len(part).to_bytes(8, "big") + part for part in (b"a.md", b"first", "\u00e9.md".encode(), b"second")
    )
    found = content_sha256([Document("\u00e9.md", b"second"), Document("a.md", b"first")])
    assert found == hashlib.sha256(framed).hexdigest()


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["opportunity-10.md", "opportunity-2.md", "opportunities-summary.md", "opportunity-1.md"]
    ordered = in_natural_order(Document(name, b"") for name in names)
    assert [document.name for document in ordered] == [
        "opportunities-summary.md",
        "opportunity-1.md",
        "opportunity-2.md",
        "opportunity-10.md",
    ]


@given(st.lists(st.builds(Document, st.text(st.characters(), max_size=6), st.just(b"")), max_size=6))
def test_natural_order_is_total_for_any_names(documents: list[Document]) -> None:
    by_name = {document.name: document for document in documents}
    assert in_natural_order(by_name.values()) == in_natural_order(reversed(list(by_name.values())))
