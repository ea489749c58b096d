"""What a message promises: the documents arrive as they were sent, and nothing else does."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contract import (
    DocumentBody,
    Expectation,
    Hints,
    Origin,
    OutputBody,
    Prefer,
    RunFailed,
    RunStarted,
    StageOutputsMessage,
    message_adapter,
    to_wire,
)
from shared.documents import Document, Sha256
from shared.ids import Stage
from shared.wire import in_json

NOW = datetime(2025, 10, 7, 12, 10, 6, 123456, tzinfo=UTC)

moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
hashes = st.binary(min_size=32, max_size=32).map(lambda digest: Sha256(digest.hex()))
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
contents = st.one_of(
    st.binary(max_size=60), st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))
)
documents = st.builds(Document, names, contents)
#: What is kept in indexes holds no U+0000.
labels = names.filter(lambda name: "\0" not in name)
texts = st.one_of(st.none(), names)
stages = st.sampled_from(Stage)

outputs = st.builds(
    OutputBody.of,
    stages,
    st.lists(documents, max_size=4).map(tuple),
    moments,
    mends=st.one_of(st.none(), hashes),
    expects=st.one_of(
        st.none(),
        st.builds(
            Expectation,
            content_sha256=st.one_of(st.none(), hashes),
            produced_at=st.one_of(st.none(), moments),
        ),
    ),
)
hints = st.builds(
    Hints,
    user_id=texts,
    company_id=texts,
    company_name=texts,
    document_name=texts,
    document_url=texts,
    stages_at_source=st.one_of(st.none(), st.sets(stages).map(lambda found: tuple(sorted(found)))),
)
stage_outputs = st.builds(
    StageOutputsMessage,
    run_id=names,
    publisher=labels,
    published_at=moments,
    origin=st.sampled_from(Origin),
    replay_of=st.one_of(st.none(), st.sampled_from(Origin)),
    batch_id=labels,
    wants_receipt=st.booleans(),
    prefer=st.one_of(st.none(), st.sampled_from(Prefer)),
    outputs=st.lists(outputs, min_size=1, max_size=3).map(tuple),
    hints=hints,
)
started = st.builds(
    RunStarted, run_id=names, publisher=labels, published_at=moments, occurred_at=moments, hints=hints
)
failed = st.builds(
    RunFailed,
    run_id=names,
    publisher=labels,
    published_at=moments,
    occurred_at=moments,
    error=names,
    hints=hints,
)


def _wire(**changes: Any) -> dict[str, Any]:
    message = StageOutputsMessage(
        run_id="run-1",
        publisher="host:1",
        published_at=NOW,
        origin=Origin.BACKFILL,
        batch_id="batch",
        outputs=(OutputBody.of(Stage.TRENDS, (Document("a.md", b"# A"),), NOW),),
    )
    return {**to_wire(message), **changes}


@given(st.one_of(stage_outputs, started, failed))
def test_a_message_survives_its_way_over_the_wire(
    message: StageOutputsMessage | RunStarted | RunFailed,
) -> None:
    assert message_adapter.validate_python(to_wire(message)) == message
    as_json = message_adapter.validate_python(orjson.loads(orjson.dumps(in_json(to_wire(message)))))
    # Its documents are text or base64 then, which test_wire.py holds equal to their bytes.
    assert in_json(to_wire(as_json)) == in_json(to_wire(message))


@given(st.lists(documents, max_size=6).map(tuple))
def test_documents_arrive_byte_for_byte_whatever_they_hold(sent: tuple[Document, ...]) -> None:
    body = OutputBody.of(Stage.TRENDS, sent, NOW)
    arrived = OutputBody.model_validate(
        orjson.loads(orjson.dumps(body.model_dump(mode="json", exclude_none=True)))
    )
    assert tuple(document.document() for document in arrived.documents) == sent


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf# BOM",
        b"a\r\nb\rc\n",
        b"\x00",
        "\u2028\ufeff\U0001f9c0".encode(),
        b"\xed\xa0\x80",
    ],
)
def test_in_json_a_document_is_text_exactly_where_it_is_utf8(content: bytes) -> None:
    sent = DocumentBody.of(Document("a.md", content))
    assert (sent.content, sent.text, sent.base64) == (content, None, None)
    body = DocumentBody.model_validate_json(sent.model_dump_json(exclude_none=True))
    try:
        assert body.text == content.decode()
    except UnicodeDecodeError:
        assert body.text is None
        assert body.base64 == base64.b64encode(content).decode()
    assert body.document() == sent.document() == Document("a.md", content)


def test_microseconds_survive() -> None:
    arrived = message_adapter.validate_json(orjson.dumps(in_json(_wire())))
    assert isinstance(arrived, StageOutputsMessage)
    assert arrived.outputs[0].produced_at == NOW


def test_an_expectation_of_no_ledger_entry_survives_the_wire() -> None:
    output = OutputBody.of(
        Stage.TRENDS, (Document("a.md", b"# A"),), NOW, expects=Expectation(content_sha256=None)
    )
    wire = output.model_dump(mode="json", exclude_none=True)
    assert OutputBody.model_validate(wire).expects == Expectation(content_sha256=None)


@pytest.mark.parametrize(
    "path",
    [(), ("hints",), ("outputs", 0), ("outputs", 0, "documents", 0)],
    ids=lambda path: "/".join(map(str, path)),
)
def test_unknown_fields_are_refused(path: tuple[str | int, ...]) -> None:
    wire = _wire()
    place: Any = wire
    for step in path:
        place = place[step]
    place["surprise"] = 1
    with pytest.raises(ValidationError, match="surprise"):
        message_adapter.validate_python(wire)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"kind": "something_else"},
        {"origin": "elsewhere"},
        {"outputs": []},
        {"run_id": 7},
        {"published_at": "2025-10-07T12:10:06"},
        {"published_at": "2025-10-07T12:10:06+02:00"},
        {"outputs": [{**_wire()["outputs"][0], "stage": 6}]},
        {"outputs": [{**_wire()["outputs"][0], "content_sha256": "ABC"}]},
        {"outputs": [{**_wire()["outputs"][0], "documents": [{"name": "a.md"}]}]},
        {"outputs": [{**_wire()["outputs"][0], "documents": [{"name": "a.md", "text": "", "base64": ""}]}]},
        {"outputs": [{**_wire()["outputs"][0], "documents": [{"name": "a.md", "text": "", "content": b""}]}]},
        {"outputs": [{**_wire()["outputs"][0], "documents": [{"name": "a.md", "content": "text"}]}]},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_what_is_not_of_the_contract_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        message_adapter.validate_python(_wire(**changes))


@pytest.mark.parametrize("broken", ["*", "YQ", "YQ==YQ==", "YQ==\n", "é"])
def test_broken_base64_is_a_value_error_and_never_wrong_bytes(broken: str) -> None:
    with pytest.raises(ValueError):
        DocumentBody(name="a.md", base64=broken).document()


def test_a_time_of_another_zone_is_no_time_of_the_contract() -> None:
    with pytest.raises(ValidationError, match="UTC"):
        OutputBody.of(Stage.TRENDS, (), NOW.astimezone(timezone(timedelta(hours=2))))


def test_messages_are_frozen() -> None:
    message = message_adapter.validate_python(_wire())
    with pytest.raises(ValidationError, match="frozen"):
        message.run_id = "other"
