"""Large commands travel as small ones do, but their documents are not copied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import HiredisRespSerializer

from shared.broker.command_packer import CommandPacker

_ARGUMENTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.integers(),
        st.sampled_from([0, 8_192, 8_193, 50_000]).map(bytes),
    )
)


@given(_ARGUMENTS)
def test_redis_gets_the_same_bytes_of_small_and_of_large_commands(arguments: list[str | bytes | int]) -> None:
    packed = CommandPacker().pack("EVALSHA", *arguments)

    assert b"".join(packed) == b"".join(HiredisRespSerializer().pack("EVALSHA", *arguments))


def test_a_document_is_not_copied() -> None:
    document = bytes(50_000)

    packed = CommandPacker().pack("EVALSHA", "a script", 1, document, "small")

    assert any(piece is document for piece in packed)
