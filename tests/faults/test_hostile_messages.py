"""Messages whose names no index holds, or PostgreSQL can't store: dead letters, and nothing behind them waits."""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from real_workers import Site
from writing_bench import T0, outputs, trends

from shared import queues
from shared.contract import Hints, RunFailed, to_wire
from shared.wire import in_json

LONG = "x" * 20_000


def test_names_that_postgresql_cannot_hold_make_dead_letters_at_once_and_hold_nothing_back(site: Site) -> None:
    good = to_wire(outputs("run-a", (2, trends(), 0)))
    hostile = [
        {**good, "batch_id": LONG},
        {**good, "batch_id": "a\0b"},
        {**good, "publisher": LONG},
        {**good, "run_id": LONG},
        {**good, "run_id": "a\0b"},
        {**good, "origin": LONG, "run_id": LONG + "y"},
        to_wire(outputs("run-b", (2, trends(), 0), hints=Hints(company_name="a\0b", company_id=LONG))),
        to_wire(RunFailed(run_id="run-c", publisher="p", published_at=T0, occurred_at=T0, error="it said \0")),
    ]
    site.start_worker(RUNFERRY_MAX_ATTEMPTS="1")
    site.publish(hostile)
    strange = Message(queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": good}, {}, message_id=LONG)
    site.broker.enqueue_many([strange])
    site.drain()
    site.publish([outputs("run-z", (2, trends(), 0))])
    site.drain()

    letters = site.rows("SELECT run_id, reason, batch_id, message_id FROM runferry.dead_letter ORDER BY id")
    assert site.value("SELECT count(*) FROM \"Run\" WHERE id = 'run-z'") == 1
    assert all(len(letter[name].encode()) <= 255 for letter in letters for name in letter)
    assert site.value("SELECT count(*) FROM runferry.delivery") == len(hostile) + 2
    assert not site.leftovers()


def test_what_cannot_be_written_again_dies_at_once_with_its_bytes_and_is_no_sign_of_a_broken_world(
    site: Site,
) -> None:
    good = to_wire(outputs("run-a", (2, trends(), 0)))
    deep: Any = "deep"
    for _ in range(900):
        deep = [deep]
    hostile: list[Any] = [5, [], None, "text"]
    hostile += [{**good, name: "\ud800"} for name in ("origin", "batch_id", "publisher", "kind", "more", "\udfff")]
    hostile += [{**good, "more": number} for number in range(2**64, 2**64 + 12)]
    hostile += [{**good, "more": deep}, {**good, "outputs": [deep]}]
    failed = RunFailed(run_id="run-c", publisher="p", published_at=T0, occurred_at=T0, error="it failed")
    hostile.append({**to_wire(failed), "run_id": "\ud800", "error": "\ud800"})
    users = [to_wire(outputs(f"run-u{n}", (2, trends(), 0))) for n in range(2)]
    hostile += [{**each, "hints": {"user_id": name}} for each, name in zip(users, ("\ud800", "a\0b"), strict=True)]
    site.broker.enqueue_many(
        Message(queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": each}, {}) for each in [good, *hostile]
    )
    site.publish([outputs("run-z", (2, trends(), 0))])
    site.start_worker()
    site.drain()

    letters = site.rows("SELECT reason, attempts FROM runferry.dead_letter")
    assert [letter["attempts"] for letter in letters] == [1] * len(hostile)
    assert {letter["reason"] for letter in letters} == {"message", "run_id", "unknown_user"}
    assert site.rows('SELECT id FROM "Run" ORDER BY id') == [{"id": "run-a"}, {"id": "run-z"}]
    assert not site.leftovers()


def test_arguments_that_the_contract_does_not_know_die_at_once(site: Site) -> None:
    good = in_json(to_wire(outputs("run-a", (2, trends(), 0))))
    strange: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((good,), {}),
        ((1,), {"message": good}),
        ((), {"message": good, "more": 1}),
        ((), {"deliveries": []}),
    ]
    site.broker.enqueue_many(
        Message(queue, actor, args, kwargs, {})
        for args, kwargs in strange
        for queue, actor in ((queues.BACKFILL, queues.WRITE_BACKFILL), (queues.LIVE, queues.WRITE_LIVE))
    )
    site.publish([outputs("run-z", (2, trends(), 0))])
    site.start_worker()
    site.drain()

    letters = site.rows("SELECT reason, attempts, seen FROM runferry.dead_letter")
    assert {(letter["reason"], letter["attempts"]) for letter in letters} == {("message", 1)}
    assert sum(letter["seen"] for letter in letters) == 2 * len(strange)
    assert site.value('SELECT id FROM "Run"') == "run-z"
    assert not site.leftovers()


def test_a_message_for_the_actor_of_bundles_is_no_bundle(site: Site) -> None:
    site.start_worker()
    site.broker.enqueue(Message(queues.BACKFILL, "write_backfill_together", (), {"deliveries": []}, {}))
    site.drain()

    assert site.value("SELECT reason FROM runferry.dead_letter") == "message"
