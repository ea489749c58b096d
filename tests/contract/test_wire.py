"""A message whose documents are bytes means what its JSON means, wherever it has to be written as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import OutputBody, StageOutputsMessage, message_adapter, to_wire
from shared.dead_letters.evidence import evidence_of, output_of, payload_of
from shared.documents import Document, content_sha256
from shared.errors import Malformed
from shared.ids import Stage
from shared.reasons import Reason
from shared.wire import documents_of, in_json
from workers.intake import Consignment, Intake, Undeliverable, letter_for, take_in, whole_message

NOW = datetime(2025, 10, 7, 12, 10, 6, 123456, tzinfo=UTC)
CONSIGNMENT = Consignment("m-1", "backfill", 1, NOW)
DOCUMENTS = st.lists(
    st.builds(Document, st.sampled_from(["a.json", "b.json", "c.md"]), st.binary(max_size=30)),
    min_size=1,
    max_size=3,
    unique_by=lambda document: document.name,
).map(tuple)


def wire_of(documents: tuple[Document, ...], **changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "kind": "stage_outputs",
        "run_id": "run-1",
        "publisher": "host:1",
        "published_at": "2025-10-07T12:10:06Z",
        "origin": "backfill",
        "batch_id": "batch",
        "outputs": [
            {
                "stage": 2,
                "documents": [{"name": each.name, "content": each.content} for each in documents],
                "produced_at": "2025-10-07T12:10:06.123456Z",
                "content_sha256": content_sha256(documents),
            }
        ],
        **changes,
    }


def documents_in(message: object) -> tuple[Document, ...]:
    assert isinstance(message, StageOutputsMessage)
    return tuple(body.document() for body in message.outputs[0].documents)


@given(DOCUMENTS)
def test_in_json_it_holds_the_same_documents(documents: tuple[Document, ...]) -> None:
    wire = wire_of(documents)
    text = orjson.dumps(in_json(wire))
    assert documents_in(message_adapter.validate_python(orjson.loads(text))) == documents
    message = message_adapter.validate_python(wire)
    assert documents_in(message) == documents
    assert documents_in(message_adapter.validate_python(to_wire(message))) == documents
    assert [each["content"] for each in documents_of(wire)] == [document.content for document in documents]


@given(DOCUMENTS)
def test_a_dead_letter_of_it_holds_the_same_documents(documents: tuple[Document, ...]) -> None:
    intake = take_in(wire_of(documents), CONSIGNMENT, max_output_bytes=1 << 20)
    assert isinstance(intake, Intake)
    for bad in intake.bad:
        letter = letter_for(bad, intake, evidence_of(bad.malformed))
        assert tuple(body.document() for body in output_of(letter.payload).documents) == documents
        in_json_alone = OutputBody.of(Stage.TRENDS, documents, bad.body.produced_at)
        assert letter.payload == payload_of(in_json_alone)


@given(DOCUMENTS)
def test_a_dead_letter_of_the_whole_message_can_be_read_again(documents: tuple[Document, ...]) -> None:
    wire = wire_of(documents, schema_version=2)
    undeliverable = whole_message(wire, CONSIGNMENT, evidence_of(Malformed(Reason.MESSAGE_VERSION, "newer")))
    payload = orjson.loads(undeliverable.letters[0].payload)
    assert documents_in(message_adapter.validate_python({**payload, "schema_version": 1})) == documents


def test_a_document_that_says_two_things_keeps_both() -> None:
    wire = wire_of((Document("a.json", b"{}"),))
    wire["outputs"][0]["documents"][0]["text"] = "[]"
    assert in_json(wire) == wire
    found = take_in(wire, CONSIGNMENT, max_output_bytes=1 << 20)
    assert isinstance(found, Undeliverable)
    assert b"[]" in found.letters[0].payload
    assert b"{}" in found.letters[0].payload


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        5,
        "x",
        [],
        [5],
        [{}],
        [{"documents": 5}],
        [{"documents": [5, None, {"content": "text"}, {"content": 5}]}],
    ],
)
def test_what_is_no_message_of_the_contract_stays_what_it_is(outputs: object) -> None:
    wire = wire_of((), outputs=outputs)
    assert in_json(wire) == wire
    assert all(not isinstance(each.get("content"), bytes) for each in documents_of(wire))
    assert not isinstance(take_in(wire, CONSIGNMENT, max_output_bytes=1 << 20), Intake)
