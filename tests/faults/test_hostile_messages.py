"""Messages whose names no index holds, or PostgreSQL can't store: dead letters, and nothing behind them waits."""

from __future__ import annotations

from dramatiq import Message
from real_workers import Site
from writing_bench import T0, outputs, trends

from shared import queues
from shared.contract import Hints, RunFailed, to_wire

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
