"""What the encoder promises."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from dramatiq.encoder import JSONEncoder
from dramatiq.errors import DecodeError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.broker.encoder import ENCODER
from shared.wire import documents_of

_some = settings(max_examples=50, deadline=None)
_texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)
_objects = st.dictionaries(_texts, _values, max_size=5)


@_some
@given(_objects)
def test_what_is_written_is_read_back_equal(data: dict[str, Any]) -> None:
    assert ENCODER.decode(ENCODER.encode(data)) == data


@_some
@given(_objects)
def test_stock_dramatiq_reads_what_is_written(data: dict[str, Any]) -> None:
    assert JSONEncoder().decode(ENCODER.encode(data)) == data


@_some
@given(
    st.dictionaries(
        _texts, st.recursive(st.booleans() | st.integers(-(2**63), 2**63 - 1) | _texts, st.lists), max_size=5
    )
)
def test_what_stock_dramatiq_writes_is_read(data: dict[str, Any]) -> None:
    assert ENCODER.decode(JSONEncoder().encode(data)) == data


_documents = st.lists(
    st.fixed_dictionaries({"name": _texts}, optional={"content": st.binary(max_size=40), "text": _texts}),
    max_size=3,
)
_outputs = st.lists(st.fixed_dictionaries({"stage": st.integers(), "documents": _documents}) | _values, max_size=3)


@_some
@given(_outputs, _values)
def test_documents_whose_content_is_bytes_are_read_back_equal(outputs: list[Any], beside: Any) -> None:
    data = {"kwargs": {"message": {"beside": beside, "outputs": outputs}}, "options": {}}
    # A length stands in the place of a content: no message of the contract has another value there.
    assume(all(isinstance(each.get("content", b""), bytes) for each in documents_of(data["kwargs"]["message"])))
    assert ENCODER.decode(ENCODER.encode(data)) == data


def with_contents(*contents: bytes) -> dict[str, Any]:
    documents = [{"name": f"{number}.md", "content": content} for number, content in enumerate(contents)]
    return {"kwargs": {"message": {"outputs": [{"stage": 2, "documents": documents}]}}}


def test_every_message_ends_as_its_json_does() -> None:
    """`ops status` reads a queue's age from the end of its first message, which may have megabytes."""
    assert ENCODER.encode(with_contents(b"# A") | {"message_timestamp": 17}).endswith(b',"message_timestamp":17}')


def test_bytes_anywhere_else_are_refused() -> None:
    with pytest.raises(TypeError):
        ENCODER.encode({"kwargs": {"message": {"run_id": b"run-1"}}})
    with pytest.raises(TypeError):
        ENCODER.encode(with_contents(b"# A") | {"options": b"x"})
    one_too_many = with_contents(b"# A", b"# B")
    one_too_many["kwargs"]["message"]["outputs"][0]["documents"][1]["content"] = 1
    with pytest.raises(TypeError):
        ENCODER.encode(one_too_many)


def test_a_message_that_was_cut_or_lengthened_is_a_decode_error() -> None:
    whole = ENCODER.encode(with_contents(b"# A", b"", b"\xff" * 300))
    for data in (*(whole[:length] for length in range(len(whole))), whole + b"x"):
        with pytest.raises(DecodeError):
            ENCODER.decode(data)


@pytest.mark.parametrize("length", ["3", 1.0, True, -1, 4, 2**70, [3], {}])
def test_a_length_that_can_not_be_is_a_decode_error(length: object) -> None:
    text = orjson.dumps(with_contents(b"# A"), default=lambda _: 0).replace(b'"content":0', b'"content":%b')
    text = text % json.dumps(length).encode()
    with pytest.raises(DecodeError):
        ENCODER.decode(b"\x01\0\0\0\x03# A" + text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\0\0\0\0[]",
        b"\x01\xff\xff\xff\xff{}",
        b"\x01\0\0\0\x01x{}",
        b"\xff",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b" " + b"[" * 100_000,
    ],
)
def test_anything_else_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ENCODER.decode(data)
