"""Messages built by hand are the contract's, and hold a run together as far as the size allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from producers.packing import PackedOutput, Sender, pack, parcels
from shared import queues
from shared.contract import Hints, Origin, OutputBody, Prefer, StageOutputsMessage, message_adapter, to_wire
from shared.documents import Document, Sha256
from shared.ids import RunId, Stage
from shared.run_folders.scanned import ScannedOutput

DOCUMENTS = st.lists(
    st.builds(Document, st.text(min_size=1, max_size=8), st.binary(max_size=64)),
    min_size=1,
    max_size=4,
    unique_by=lambda document: document.name,
)
OUTPUTS = st.lists(
    st.builds(
        ScannedOutput,
        st.sampled_from(Stage),
        DOCUMENTS.map(tuple),
        st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda output: output.stage,
)


@given(OUTPUTS, st.none() | st.just("user-1"), st.none() | st.sampled_from(Prefer))
def test_the_wire_form_is_what_the_contract_makes(
    outputs: list[ScannedOutput], user_id: str | None, prefer: Prefer | None
) -> None:
    sender = Sender("batch", "host:1", user_id, prefer)
    (parcel,) = parcels(sender, RunId("run-1"), [pack(o) for o in outputs], [Stage(1)], max_message_bytes=1 << 20)
    wire = parcel.message.kwargs["message"]
    message = StageOutputsMessage(
        run_id="run-1",
        publisher="host:1",
        published_at=datetime.fromisoformat(wire["published_at"]),
        origin=Origin.BACKFILL,
        batch_id="batch",
        prefer=prefer,
        outputs=tuple(OutputBody.of(output.stage, output.documents, output.produced_at) for output in outputs),
        hints=Hints(user_id=user_id, stages_at_source=(Stage(1),)),
    )
    assert wire == to_wire(message)
    assert message_adapter.validate_python(wire) == message
    assert (parcel.message.queue_name, parcel.message.actor_name) == (queues.BACKFILL, queues.WRITE_BACKFILL)


def packed(stage: int, size_bytes: int) -> PackedOutput:
    return PackedOutput(Stage(stage), Sha256(str(stage)), size_bytes, {"stage": stage})


def test_a_run_is_split_by_stage_only_where_its_outputs_exceed_a_message() -> None:
    outputs = [packed(1, 60), packed(2, 40), packed(3, 1), packed(4, 500), packed(5, 10)]
    found = list(parcels(Sender("b", "p"), RunId("run-1"), outputs, tuple(Stage), max_message_bytes=100))
    assert [[int(stage) for stage, _ in parcel.slip.hashes] for parcel in found] == [[1, 2], [3], [4], [5]]
    assert all(p.message.kwargs["message"]["hints"] == {"stages_at_source": [1, 2, 3, 4, 5]} for p in found)
    assert [parcel.size_bytes for parcel in found] == [100, 1, 500, 10]


def test_times_keep_their_microseconds() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
    body = pack(ScannedOutput(Stage(1), (Document("a.md", b"a"),), moment)).body
    assert body["produced_at"] == "2025-01-01T00:00:00.000001Z"
