"""What landed in Dramatiq's dead queue is filed."""

from __future__ import annotations

import asyncio

import asyncpg
import dramatiq
import orjson
import pytest

from shared import queues
from shared.broker.broker import make_broker
from shared.broker.encoder import ENCODER
from shared.broker.evidence import CrashLoop, evidence_of
from shared.contract import Origin, OutputBody, StageOutputsMessage, to_wire
from shared.database_url import DatabaseAddress
from shared.dead_letters.sweeping import sweep
from shared.documents import Document
from shared.ids import Stage
from shared.wire import documents_of, in_json


@pytest.fixture
def broker(settings):
    broker = make_broker(settings.redis_url.get_secret_value(), settings)
    yield broker
    broker.close()


def bury(broker, data: bytes, *, redis_message_id="r-1", evidence=None):
    """Put bytes where the broker leaves dead messages."""
    name = f"{broker.namespace}:{queues.BACKFILL}.XQ"
    broker.client.hset(f"{name}.msgs", redis_message_id, data)
    if evidence is not None:
        broker.client.hset(f"{name}.evidence", redis_message_id, evidence.to_json())
    broker.client.zadd(name, {redis_message_id: 3155760000000 + 1_700_000_000_000})


def outputs_message(letter):
    at = letter().produced_at
    outputs = tuple(
        OutputBody.of(stage, (Document("a.md", b"# A"),), at) for stage in (Stage.TRENDS, Stage.LESSONS)
    )
    contract = StageOutputsMessage(
        run_id="run-1", publisher="p", published_at=at, origin=Origin.PIPELINE, batch_id="batch-7", outputs=outputs
    )
    return dramatiq.Message(
        queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": to_wire(contract)}, options={}, message_id="m-7"
    )


def sent(message):
    return ENCODER.encode(message.asdict())


def swept(letters, broker):
    return letters.run(lambda connection: sweep(connection, broker, queues.ALL))


def test_each_output_of_a_crash_loop_is_a_letter_with_its_evidence(letters, letter, broker):
    evidence = evidence_of(CrashLoop("It killed 3 workers."), queue=queues.BACKFILL, message_id="m-7")
    bury(broker, sent(outputs_message(letter)), evidence=evidence)

    assert swept(letters, broker) == 2

    rows = letters.all()
    assert [(row["stage"], row["reason"], row["origin"]) for row in rows] == [
        (2, "crash_loop", "pipeline"),
        (3, "crash_loop", "pipeline"),
    ]
    assert (rows[0]["message_id"], rows[0]["batch_id"], rows[0]["worker_pid"]) == (
        "m-7",
        "batch-7",
        evidence.worker_pid,
    )
    (delivery,) = letters.fetch("SELECT * FROM runferry.delivery")
    assert orjson.loads(delivery["verdicts"]) == {"2": "dead_lettered", "3": "dead_lettered"}
    assert broker.depths()[queues.BACKFILL].dead == 0


def test_undecodable_bytes_are_kept_as_they_came(letters, broker, ops_dlq):
    bury(broker, b"\x00\xff no message")
    assert ops_dlq("sweep", "--json").json == {"filed": 1}
    (row,) = letters.all()
    assert (row["payload"], row["run_id"], row["stage"]) == (b"\x00\xff no message", "", 0)
    assert "without a reason" in row["sentence"]


def test_a_message_that_is_not_of_the_contract_keeps_the_run_it_names(letters, broker):
    message = dramatiq.Message("backfill", "unknown", (), {"message": {"run_id": "run-5", "x": 1}}, options={})
    bury(broker, message.encode())
    swept(letters, broker)
    (row,) = letters.all()
    assert (row["run_id"], row["stage"], orjson.loads(row["payload"])) == ("run-5", 0, {"run_id": "run-5", "x": 1})


def test_a_sweep_that_died_before_it_emptied_the_queue_files_nothing_twice(letters, letter, broker, monkeypatch):
    bury(broker, sent(outputs_message(letter)))
    monkeypatch.setattr(broker, "forget_dead", lambda *_: (_ for _ in ()).throw(ConnectionError("killed")))
    with pytest.raises(ConnectionError):
        swept(letters, broker)
    monkeypatch.undo()
    assert broker.depths()[queues.BACKFILL].dead == 1

    assert swept(letters, broker) == 0
    assert [row["seen"] for row in letters.all()] == [1, 1]
    assert broker.depths()[queues.BACKFILL].dead == 0


def test_what_a_worker_had_committed_before_it_was_buried_is_no_letter(letters, letter, broker):
    letters.execute(
        """
        INSERT INTO runferry.delivery (batch_id, message_id, run_id, origin, publisher, published_at, worker, verdicts)
        VALUES ('batch-7', 'm-7', 'run-1', 'pipeline', 'p', now(), 'w', '{"2": "applied", "3": "applied"}')
        """
    )
    bury(broker, sent(outputs_message(letter)))
    assert swept(letters, broker) == 0
    assert letters.all() == []


def test_two_sweeps_at_once_file_each_message_once(letters, letter, broker, database_url):
    for number in range(30):
        bury(broker, f"bytes {number}".encode(), redis_message_id=f"r-{number}")

    async def both():
        connections = [await asyncpg.connect(DatabaseAddress.parse(database_url).dsn) for _ in range(2)]
        try:
            return await asyncio.gather(*(sweep(connection, broker, queues.ALL) for connection in connections))
        finally:
            for connection in connections:
                await connection.close()

    assert sum(asyncio.run(both())) == 30
    assert {row["seen"] for row in letters.all()} == {1}


def test_a_dead_message_that_postgresql_refuses_stays_and_holds_no_other_back(
    letters, letter, broker, monkeypatch
):
    monkeypatch.setattr("shared.dead_letters.filing.storable_label", lambda text: text)
    refused = outputs_message(letter).copy(
        message_id="".join(chr(0x4E00 + number % 20_000) for number in range(9_000))
    )
    bury(broker, sent(refused), redis_message_id="r-0")
    for number in range(1, 4):
        bury(broker, sent(outputs_message(letter).copy(message_id=f"m-{number}")), redis_message_id=f"r-{number}")

    swept(letters, broker)

    filed = {row["message_id"] for row in letters.fetch("SELECT message_id FROM runferry.delivery")}
    assert filed == {"m-1", "m-2", "m-3"}
    assert broker.depths()[queues.BACKFILL].dead == 1
    monkeypatch.undo()
    swept(letters, broker)
    assert broker.depths()[queues.BACKFILL].dead == 0


def test_a_message_of_a_newer_version_is_kept_as_json_with_all_its_documents(letters, letter, broker):
    message = outputs_message(letter)
    body = {**message.kwargs["message"], "schema_version": 99}
    bury(broker, sent(message.copy(kwargs={"message": body})))

    assert swept(letters, broker) == 1

    (row,) = letters.all()
    assert orjson.loads(row["payload"]) == in_json(body)
    assert [each["text"] for each in documents_of(orjson.loads(row["payload"]))] == ["# A", "# A"]
