"""`ops pause` and `ops resume`, with a real worker."""

from __future__ import annotations

from real_workers import Site, until
from writing_bench import inspirations, outputs

from shared import queues


def test_a_paused_queue_waits_and_goes_on_and_the_others_never_stop(site: Site) -> None:
    worker = site.start_worker()
    site.await_workers(worker)
    paused = site.command("ops.command", "pause", "backfill", "--why", "a release", "--json")
    assert paused.status == 0, paused.stderr
    assert paused.json["changed"] == ["backfill"]
    hold = paused.json["held"]["backfill"]
    assert hold["why"] == "a release"
    assert "@" in hold["who"]
    assert hold["at"].endswith("Z")
    until(lambda: "queue held" in site.tail(), "a worker that follows")

    site.publish([outputs("held", (1, inspirations(), 0))])
    site.publish([outputs("not-held", (1, inspirations(), 0))], queues.LIVE)
    until(lambda: site.rows("SELECT 1 FROM runferry.ledger WHERE run_id = 'not-held'"), "the live output")
    assert site.broker.depths()[queues.BACKFILL].waiting == 1
    assert site.verdicts() == {"applied": 1}

    resumed = site.command("ops.command", "resume")
    assert resumed.status == 0, resumed.stderr
    assert "Goes on: backfill." in resumed.stdout
    site.drain()
    assert site.verdicts() == {"applied": 2}


def test_a_worker_that_starts_takes_nothing_of_a_queue_that_is_held(site: Site) -> None:
    assert site.command("ops.command", "pause", "backfill").status == 0
    site.publish([outputs("held", (1, inspirations(), 0))])
    site.publish([outputs("not-held", (1, inspirations(), 0))], queues.LIVE)
    site.await_workers(site.start_worker())
    until(lambda: site.rows("SELECT 1 FROM runferry.ledger WHERE run_id = 'not-held'"), "the live output")
    assert site.verdicts() == {"applied": 1}
    assert site.command("ops.command", "resume").status == 0
    site.drain()
    assert site.verdicts() == {"applied": 2}


def test_without_a_name_all_queues_are_held_and_everybody_sees_who_and_why(site: Site) -> None:
    shown = site.command("ops.command", "pause", "--why", "the disk is being replaced")
    assert shown.status == 0, shown.stderr
    for queue in queues.ALL:
        assert f"  {queue} is held by " in shown.stdout
    assert shown.stdout.count(": the disk is being replaced (0 waiting)") == len(queues.ALL)
    resumed = site.command("ops.command", "resume", "--json")
    assert resumed.json == {"changed": list(queues.ALL), "held": {}}
    assert "Nothing was held there." in site.command("ops.command", "resume").stdout


def test_a_queue_that_is_none_is_wrong_usage(site: Site) -> None:
    ended = site.command("ops.command", "pause", "lively")
    assert ended.status == 2
    assert "'live', 'backfill', 'reconcile'" in ended.stderr


def test_a_redis_that_is_away_is_a_sentence(site: Site) -> None:
    ended = site.command("ops.command", "pause", REDIS_URL="redis://localhost:1/0")
    assert (ended.status, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "Redis" in ended.stderr
