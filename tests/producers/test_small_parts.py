"""Rates, spilled lists, settling and the watch over workers."""

from __future__ import annotations

import inspect
import io
import re
from datetime import UTC, datetime

import orjson
import pytest

import producers
from producers.rate import parse_rate
from producers.spill import SpilledList, write_document
from producers.vigil import Sight, Vigil
from shared import errors, queues
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo, WorkerState
from shared.run_folders.settling import unsettled_for_s


def test_every_error_that_a_pipeline_stage_is_told_of_is_imported_from_producers() -> None:
    called = (producers.Emitter, producers.StageStore, producers.Receipt)
    told = " ".join(inspect.getdoc(one) or "" for kind in called for one in (kind, *vars(kind).values()))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    named = {kind.__name__ for kind in kinds if re.search(rf"\b{kind.__name__}\b", told)}
    assert len(named) > 5
    assert named - set(producers.__all__) == set()


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50), ("50", 50), ("600/m", 10), ("0.5/s", 0.5), ("1 / h", 1 / 3600)]
)
def test_a_rate_is_read(text: str, per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["", "0", "0/s", "-1/s", "fast", "50/d"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no rate"):
        parse_rate(text)


def test_a_list_that_spills_to_disk_gives_everything_back_in_order() -> None:
    items = SpilledList()
    for number in range(20_000):
        items.append({"number": number, "text": "ü\n" * 10})
    assert len(items) == 20_000
    assert [orjson.loads(line)["number"] for line in items.lines()] == list(range(20_000))
    items.append({"number": -1})
    assert [orjson.loads(line)["number"] for line in items.lines()][-2:] == [19_999, -1]
    items.close()


def test_a_document_of_facts_and_lists_is_one_json_object_whatever_is_empty() -> None:
    items = SpilledList()
    for item in (1, {"id": 2}):
        items.append(item)
    for facts in ({}, {"n": 1, "deep": {"a": [1]}}):
        for lists in ({}, {"none": [], "some": list(items.lines())}):
            stream = io.BytesIO()
            write_document(stream, facts, lists)
            expected = facts | ({"none": [], "some": [1, {"id": 2}]} if lists else {})
            assert orjson.loads(stream.getvalue()) == expected
            assert stream.getvalue().endswith(b"}\n")
    items.close()


@pytest.mark.parametrize(
    ("modified_s", "changed_s", "left_s"),
    [
        (1_000.0, 1_000.0, 0.0),  # long ago
        (1_995.0, 1_995.0, 5.0),  # five seconds ago
        (1_990.0, 1_999.0, 0.0),  # an old file that was copied with its times
        (9_000.0, 1_000.0, 0.0),  # a time in the future, set long ago
        (9_000.0, 1_995.0, 5.0),  # a time in the future, set just now
        (2_060.0, 2_060.0, 10.0),  # the file system's clock is ahead
    ],
)
def test_settling_goes_by_times_that_can_be_believed(modified_s: float, changed_s: float, left_s: float) -> None:
    assert unsettled_for_s(modified_s=modified_s, changed_s=changed_s, now_s=2_000.0, settle_s=10.0) == left_s
    assert unsettled_for_s(modified_s=modified_s, changed_s=changed_s, now_s=2_000.0, settle_s=0.0) == 0.0


def worker(state: WorkerState = WorkerState.RUNNING, reason: str = "", queue: str = queues.BACKFILL) -> WorkerInfo:
    return WorkerInfo("id", "host", 1, "0.1.0", "/data", (queue,), datetime.now(UTC), state, reason)


def look(vigil: Vigil, workers: list[WorkerInfo], now_s: float, queued: int = 1, unheard: int = 1) -> Sight:
    return vigil.look(workers, queued=queued, buried=0, unheard=unheard, now_s=now_s)


def test_no_live_worker_is_said_after_five_seconds_with_the_command_and_once() -> None:
    vigil = Vigil(60)
    assert look(vigil, [], 0) == Sight()
    assert look(vigil, [], 4.9) == Sight()
    note = look(vigil, [], 5).note
    assert note is not None
    assert "`worker`" in note
    assert look(vigil, [], 6) == Sight()


def test_a_worker_of_another_queue_is_none() -> None:
    vigil = Vigil(60)
    look(vigil, [worker(queue=queues.LIVE)], 0)
    assert look(vigil, [worker(queue=queues.LIVE)], 5).note is not None


def test_the_watch_gives_up_after_the_timeout_and_a_worker_starts_it_anew() -> None:
    vigil = Vigil(60)
    look(vigil, [], 0)
    look(vigil, [worker()], 59)
    assert look(vigil, [], 60).give_up is None
    give_up = look(vigil, [], 120).give_up
    assert give_up is not None
    assert "--worker-timeout" in give_up


def test_paused_workers_are_told_with_their_reason_and_never_given_up() -> None:
    vigil = Vigil(60)
    paused = worker(WorkerState.PAUSED, "PostgreSQL is away")
    assert look(vigil, [paused], 0).note == "The workers pause: PostgreSQL is away"
    assert look(vigil, [paused], 1_000) == Sight()
    assert look(vigil, [worker()], 1_001).note == "Workers are at work."


def test_a_queue_that_somebody_holds_is_told_with_the_way_out_and_never_given_up() -> None:
    vigil = Vigil(60)
    hold = Hold("ann@host", "a release", datetime.now(UTC))
    told = vigil.look([worker()], queued=1, buried=0, unheard=1, now_s=0, hold=hold).note
    assert told == "The queue backfill is held by ann@host: a release. Let it go on with: ops resume backfill"
    assert vigil.look([worker()], queued=1, buried=0, unheard=1, now_s=1_000, hold=hold) == Sight()
    assert look(vigil, [worker()], 1_001).note == "Workers are at work."


def test_messages_that_left_the_queue_without_a_trace_are_told_and_given_up() -> None:
    vigil = Vigil(60)
    assert look(vigil, [worker()], 0, queued=0) == Sight()
    note = look(vigil, [worker()], 5, queued=0).note
    assert note is not None
    assert "another database" in note
    assert look(vigil, [worker()], 60, queued=0).give_up is not None
    assert look(vigil, [worker()], 61, queued=0, unheard=0).give_up is None
