"""What the in-flight index promises."""

from __future__ import annotations

from typing import Any

import pytest
from broker_bench import QUEUE, Bench, eventually
from dramatiq import Message

from shared.broker.in_flight import IndexEntries, entries_of
from shared.broker.tickets import Operation, Ticket


def _outputs(run_id: str, *outputs: tuple[int, str]) -> Message[Any]:
    body = {
        "run_id": run_id,
        "outputs": [{"stage": stage, "content_sha256": sha256, "documents": []} for stage, sha256 in outputs],
    }
    return Message(QUEUE, "act", (), {"message": body}, {})


def _found(broker: Any, run_id: str) -> set[tuple[int, str]]:
    return {(output.stage, output.content_sha256) for output in broker.in_flight(run_id)}


def test_an_output_is_in_flight_from_its_enqueue_to_its_acknowledgement(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue_many([_outputs("run", (1, "aa"), (2, "bb")), _outputs("other run", (1, "cc"))])
    assert _found(broker, "run") == {(1, "aa"), (2, "bb")}
    consumer, [first, _] = our_bench.take(broker, 2)
    assert _found(broker, "run") == {(1, "aa"), (2, "bb")}

    consumer.ack(first)

    assert eventually(lambda: not _found(broker, "run"))
    assert _found(broker, "other run") == {(1, "cc")}
    assert not our_bench.redis.exists("runferry:__run__.run")


def test_it_stays_in_flight_while_it_is_delayed(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue(_outputs("run", (1, "aa")), delay=60_000)

    assert _found(broker, "run") == {(1, "aa")}


def test_a_buried_output_is_accounted_for_until_the_sweep_has_filed_it(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue(_outputs("run", (1, "aa")))
    consumer, [taken] = our_bench.take(broker)
    consumer.nack(taken)
    assert eventually(lambda: our_bench.dead() == 1)
    assert _found(broker, "run") == {(1, "aa")}

    assert broker.forget_dead(QUEUE, broker.dead_messages(QUEUE)) == 1

    assert not _found(broker, "run")
    assert our_bench.dead() == 0


@pytest.mark.parametrize("first", [0, 1], ids=["the older one ends first", "the newer one ends first"])
def test_an_output_that_two_messages_carry_is_in_flight_until_both_have_ended(
    our_bench: Bench, first: int
) -> None:
    # A backfill sends what a pipeline has just sent: it may end as a conflict while the pipeline's still waits.
    broker = our_bench.broker()
    broker.enqueue(_outputs("run", (1, "aa")))
    broker.enqueue(_outputs("run", (1, "aa")))
    consumer, taken = our_bench.take(broker, 2)
    consumer.ack(taken[first])
    assert eventually(lambda: our_bench.pending() == 1)
    assert _found(broker, "run") == {(1, "aa")}
    consumer.ack(taken[1 - first])
    assert eventually(lambda: not _found(broker, "run"))


def test_entries_of_messages_that_are_gone_heal_by_themselves(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue(_outputs("run", (1, "aa")))
    broker.flush(QUEUE)

    assert not _found(broker, "run")
    assert not our_bench.redis.exists("runferry:__run__.run")


def test_thousands_of_runs_are_asked_for_at_once(our_bench: Bench) -> None:
    broker = our_bench.broker()
    runs = [f"run {number}" for number in range(1_200)]
    broker.enqueue_many(_outputs(run, (5, "ee")) for run in runs)

    found = broker.in_flight_many([*runs, "unknown"])

    assert all(len(found[run]) == 1 for run in runs)
    assert found["unknown"] == frozenset()


def test_what_is_no_message_of_the_contract_has_no_entries() -> None:
    assert entries_of({}) == IndexEntries()
    assert entries_of({"message": "text"}) == IndexEntries()
    assert entries_of({"message": {"run_id": "run", "kind": "run_started"}}) == IndexEntries()
    assert entries_of({"message": {"run_id": 1, "outputs": [{}]}}) == IndexEntries()


def test_a_stage_that_is_no_number_hides_no_other_output_of_its_run(our_bench: Bench) -> None:
    broker = our_bench.broker()
    strange = _outputs("run", (2, "bb"), (3, "cc"))
    for output, stage in zip(strange.kwargs["message"]["outputs"], ("two", None), strict=True):
        output["stage"] = stage
    broker.enqueue_many([_outputs("run", (1, "aa")), strange])
    assert _found(broker, "run") == {(1, "aa")}


def test_what_another_worker_took_over_keeps_its_entry(our_bench: Bench) -> None:
    first, second = our_bench.broker(), our_bench.broker()
    first.enqueue(_outputs("run", (1, "aa")))
    _, [taken] = our_bench.take(first)
    first._consumption.settle(Operation.BACK, QUEUE, Ticket(taken.redis_message_id))
    our_bench.take(second)

    assert first.do_ack(QUEUE, Ticket(taken.redis_message_id, taken.entries)) == 0
    assert _found(second, "run") == {(1, "aa")}
