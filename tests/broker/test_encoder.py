"""What the encoder promises."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq.encoder import JSONEncoder
from dramatiq.errors import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.broker.encoder import ENCODER

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


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"null", b"{", b"[" * 100_000, b" " + b"[" * 100_000])
def test_anything_else_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ENCODER.decode(data)
