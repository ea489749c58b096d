"""Broken data: a dead letter with its reason, while the neighbours are committed and no worker restarts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from real_workers import Site, until
from writing_bench import cards, context, inspirations, outputs, trends

from shared import queues
from shared.contract import Hints, StageOutputsMessage, to_wire
from shared.documents import Document

CRASHES = "crashes its backend"


def whole(run_id: str, **parts: tuple[Document, ...]) -> StageOutputsMessage:
    """A run with four stages; keywords (`stage2`, …) replace some."""
    documents = {1: inspirations(), 2: trends(), 4: context(), 5: cards()}
    documents |= {int(name.removeprefix("stage")): part for name, part in parts.items()}
    bodies = [(stage, part, 0.0) for stage, part in documents.items()]
    return outputs(run_id, *bodies, hints=Hints(stages_at_source=tuple(documents)))


def letters(site: Site) -> dict[tuple[str, int], str]:
    """The reason of each dead letter."""
    found = site.rows("SELECT run_id, stage, reason FROM runferry.dead_letter")
    return {(row["run_id"], row["stage"]): row["reason"] for row in found}


def install(site: Site, statement: str, table: str = "StageOutput") -> None:
    """Run a statement of PL/pgSQL before each insert into a table."""
    site.do(f"""
        CREATE FUNCTION public.runferry_test_fault() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {statement} RETURN NEW; END $$;
        CREATE TRIGGER runferry_test_fault BEFORE INSERT ON "{table}"
            FOR EACH ROW EXECUTE FUNCTION public.runferry_test_fault();
    """)


def test_what_only_postgresql_refuses_dies_alone_and_its_neighbours_are_committed(site: Site) -> None:
    install(
        site,
        """IF NEW."markdownOutput" LIKE '%poison%' THEN
               RAISE EXCEPTION 'no such language' USING ERRCODE = '22023'; END IF;""",
    )
    # Both are indexed, and neither can be compressed to what an index takes.
    endless = "".join(chr(number) for number in Random(1).choices(range(0x4E00, 0x9FFF), k=3_000))
    too_long = (Document("context.json", json.dumps({"brand_id": endless}).encode()),)
    messages = [whole(f"good-{number:02d}") for number in range(20)]
    messages[5:5] = [whole("poisoned", stage2=trends("poison"))]
    messages[12:12] = [whole("too-long", stage4=too_long)]
    # A hint is never worth an output.
    hinted = outputs("hinted", (2, trends(), 0), hints=Hints(company_id=endless, stages_at_source=(2,)))
    messages[16:16] = [hinted]
    worker = site.start_worker()
    site.publish(messages)
    site.drain()
    assert letters(site) == {
        ("poisoned", 2): "database_refused",
        ("too-long", 4): "too_large",
    }
    assert site.verdicts() == {"applied": 4 * 22 - 2 + 1, "dead_lettered": 2}
    (letter,) = site.rows("SELECT * FROM runferry.dead_letter WHERE run_id = 'poisoned'")
    assert "no such language" in letter["sentence"]
    assert "asyncpg" in letter["error_class"]
    assert letter["traceback"]
    assert worker.poll() is None
    assert not site.leftovers()


def test_an_output_that_crashes_its_backend_is_found_and_dies_while_the_others_are_committed(site: Site) -> None:
    install(
        site,
        f"""IF NEW."markdownOutput" LIKE '%{CRASHES}%' THEN
                PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); END IF;""",
    )
    messages = [whole(f"good-{number:02d}") for number in range(10)]
    messages[4:4] = [outputs("crashing", (2, trends(CRASHES), 0))]
    worker = site.start_worker()
    site.publish(messages)
    site.drain()
    assert letters(site) == {("crashing", 2): "breaks_the_world"}
    assert site.verdicts() == {"applied": 40, "dead_lettered": 1}
    assert worker.poll() is None
    assert not site.leftovers()


def test_an_unknown_error_is_tried_a_few_times_and_then_dies_with_its_evidence(site: Site) -> None:
    install(
        site,
        """IF NEW."markdownOutput" LIKE '%unlucky%' THEN RAISE EXCEPTION 'the web app says no'; END IF;""",
    )
    worker = site.start_worker(RUNFERRY_MAX_ATTEMPTS="2")
    site.publish([whole("good"), outputs("unlucky", (2, trends("unlucky"), 0))])
    site.drain()
    assert letters(site) == {("unlucky", 2): "unknown_error"}
    (letter,) = site.rows("SELECT * FROM runferry.dead_letter")
    assert letter["attempts"] == 2
    assert "the web app says no" in letter["error_text"]
    assert letter["first_failed_at"] < letter["last_failed_at"]
    assert site.verdicts() == {"applied": 4, "dead_lettered": 1}
    assert worker.poll() is None
    assert not site.leftovers()


def test_many_that_fail_alike_pause_the_worker_and_are_not_buried(site: Site) -> None:
    install(site, "RAISE EXCEPTION 'a bad deployment of the web app';")
    worker = site.start_worker(RUNFERRY_WORKER_THREADS="16", RUNFERRY_MAX_ATTEMPTS="1")
    # One attempt each: but for the pause, each would be buried at once.
    site.publish(outputs(f"run-{number:02d}", (2, trends(), 0)) for number in range(30))
    paused = site.await_state(worker, "paused")
    assert "fail alike" in paused.reason
    assert "a bad deployment of the web app" in paused.reason
    site.do("DROP FUNCTION public.runferry_test_fault() CASCADE")
    site.drain()
    site.await_state(worker, "running")
    # Not counted while it pauses: what failed before the eighth may still be on its way to its letter.
    buried = len(letters(site))
    assert buried < 8, "only what failed before there were eight alike"
    assert site.verdicts() == {"applied": 30 - buried, **({"dead_lettered": buried} if buried else {})}
    assert not site.leftovers()


def test_many_that_fail_alike_for_good_hold_back_no_others(site: Site) -> None:
    install(
        site,
        """IF NEW."markdownOutput" LIKE '%unlucky%' THEN RAISE EXCEPTION 'the web app says no'; END IF;""",
    )
    site.publish(outputs(f"unlucky-{number:02d}", (2, trends("unlucky"), 0)) for number in range(20))
    site.publish(outputs(f"good-{number:02d}", (2, trends(), 0)) for number in range(30))
    site.start_worker(RUNFERRY_MAX_ATTEMPTS="1")
    until(lambda: site.value('SELECT count(*) FROM "Run"') >= 30, "the others in their rows")
    site.drain()

    assert site.verdicts() == {"applied": 30, "dead_lettered": 20}


def test_suspects_that_fail_alike_for_good_hold_back_no_others(site: Site) -> None:
    install(
        site,
        """IF NEW."markdownOutput" LIKE '%unlucky%' THEN RAISE EXCEPTION 'the web app says no'; END IF;""",
    )
    site.publish(outputs(f"unlucky-{number:02d}", (2, trends("unlucky"), 0)) for number in range(12))
    # A worker was killed with them in its hands.
    backfill = f"{site.settings.namespace}:{queues.BACKFILL}"
    for redis_message_id in site.broker.client.hkeys(f"{backfill}.msgs"):
        site.broker.client.hset(f"{backfill}.suspects", redis_message_id, "0")
    worker = site.start_worker(RUNFERRY_MAX_ATTEMPTS="1")
    site.await_state(worker, "paused")
    site.publish([outputs("good", (2, trends(), 0))], queues.LIVE)
    until(lambda: site.value("SELECT count(*) FROM \"Run\" WHERE id = 'good'"), "the live output in its rows")
    site.await_state(worker, "running")


def test_a_message_of_a_newer_version_is_handed_back_until_patience_ends(site: Site) -> None:
    def newer(run_id: str, published_at: datetime) -> dict[str, Any]:
        wire = to_wire(outputs(run_id, (2, trends(), 0)))
        return wire | {"schema_version": 2, "published_at": published_at.isoformat(), "brand_new": True}

    now = datetime.now(UTC)
    site.start_worker()
    ahead = newer("ahead", now + timedelta(days=9_999))
    site.publish([newer("waits", now), newer("waited", now - timedelta(hours=2)), ahead, whole("good")])
    until(
        lambda: len(letters(site)) == 2,
        "dead letters of the one that waited for long and the one that always would",
    )
    until(lambda: site.broker.depths()["backfill"].delayed == 1, "the other one, handed back")
    found = site.rows("SELECT run_id, reason, payload FROM runferry.dead_letter ORDER BY 1")
    assert [(each["run_id"], each["reason"]) for each in found] == [
        ("ahead", "message_version"),
        ("waited", "message_version"),
    ]
    assert all(b"brand_new" in each["payload"] for each in found), "the bytes as they came"
    assert site.verdicts()["applied"] == 4
    assert {output.stage for output in site.broker.in_flight("waits")} == {2}
