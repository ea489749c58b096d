"""The phase: who may set it, and that every process follows, whatever is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from real_workers import Site, until
from redis_proxy import RedisProxy

from ops.command import main
from ops.phase.gates import ORDER, Standing, check_neighbours, obstacles
from producers import Emitter
from shared import queues
from shared.broker.holds import Hold, Holds
from shared.errors import UsageError
from shared.phase.change import PhaseChange
from shared.phase.redis_copy import read_copy
from shared.phase.remembered import recall, remember
from shared.settings import Phase, Settings

NOW = datetime(2026, 1, 31, tzinfo=UTC)
NOWHERE = SecretStr("postgresql://nobody:nothing@127.0.0.1:1/none")

Ops = Callable[..., Any]


@pytest.fixture
def ops(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ops:
    """Calls `ops phase …` in this process, and returns its result."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    monkeypatch.setenv("RUNFERRY_HOME", str(settings.home))
    monkeypatch.setenv("RUNFERRY_ROOT", str(settings.root))
    urls = ["--database-url", settings.database_url.get_secret_value(), "--redis-url"]

    def call(*arguments: str, redis_url: str | None = None) -> Any:
        assert settings.redis_url is not None
        given = redis_url or settings.redis_url.get_secret_value()
        return CliRunner().invoke(main, ["phase", *arguments, *urls, given])

    return call


def green_checklist(site: Site, *, age: str = "1 minute", passed: bool = True) -> None:
    site.do(
        "INSERT INTO runferry.checklist_result (at, passed, points) VALUES (now() - $1::text::interval, $2, '[]')",
        age,
        passed,
    )


def soaked(site: Site, days: int) -> None:
    """Let time go by."""
    site.do("UPDATE runferry.schema_migration SET applied_at = applied_at - make_interval(days => $1)", days)
    site.do("UPDATE runferry.phase_change SET at = at - make_interval(days => $1)", days)


def standing(
    phase: Phase,
    *,
    days: float = 100,
    checklist_h: float | None = 1,
    passed: bool = True,
    rolled_back_h: float | None = None,
) -> Standing:
    at = None if checklist_h is None else NOW - timedelta(hours=checklist_h)
    rolled_back_at = None if rolled_back_h is None else NOW - timedelta(hours=rolled_back_h)
    return Standing(phase, NOW - timedelta(days=days), at, passed, NOW, rolled_back_at)


def test_downwards_is_open_from_anywhere_to_anywhere() -> None:
    for before in range(4):
        for target in range(before + 1):
            check_neighbours(ORDER[before], ORDER[target])
            assert not obstacles(standing(ORDER[before], days=0, checklist_h=None), ORDER[target], Settings())


def test_upwards_goes_to_the_neighbour_alone() -> None:
    for before in range(4):
        for target in range(before + 2, 4):
            with pytest.raises(UsageError, match="one at a time"):
                check_neighbours(ORDER[before], ORDER[target])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"days": 6.9}, "has been in force for 6 d 21 h"),
        ({"checklist_h": None}, "no checklist"),
        ({"passed": False}, "did not pass"),
        ({"checklist_h": 25}, "1 d 1 h old"),
        ({"rolled_back_h": 0.5}, "rolled back 30 min ago"),
    ],
)
def test_the_gate_says_what_it_waits_for(changes: dict[str, Any], says: str) -> None:
    (sentence,) = obstacles(standing(Phase.DUAL_WRITE, **changes), Phase.DB_FIRST, Settings())
    assert says in sentence
    assert not obstacles(standing(Phase.DUAL_WRITE), Phase.DB_FIRST, Settings())
    assert not obstacles(standing(Phase.DUAL_WRITE, rolled_back_h=2), Phase.DB_FIRST, Settings())


@pytest.mark.parametrize("action", ["rollback begun", "rollback"])
def test_a_checklist_of_before_a_rollback_opens_no_gate(site: Site, ops: Ops, action: str) -> None:
    soaked(site, 8)
    green_checklist(site)
    site.do("INSERT INTO runferry.audit (who, action) VALUES ('me@here', $1)", action)
    refused = ops("set", "db-first")
    assert refused.exit_code == 2
    assert "after the latest checklist: run `ops checklist`" in refused.output
    green_checklist(site, age="0 s")
    assert ops("set", "db-first").exit_code == 0


def test_db_only_wants_a_longer_soak_and_leaving_files_only_wants_none() -> None:
    assert obstacles(standing(Phase.DB_FIRST, days=29), Phase.DB_ONLY, Settings())
    assert not obstacles(standing(Phase.DB_FIRST, days=30), Phase.DB_ONLY, Settings())
    assert not obstacles(standing(Phase.FILES_ONLY, days=0, checklist_h=None), Phase.DUAL_WRITE, Settings())


def test_the_whole_journey_up_and_down_with_its_history(site: Site, ops: Ops) -> None:
    refused = ops("set", "db-first")
    assert refused.exit_code == 2
    assert "RUNFERRY_SOAK_DB_FIRST" in refused.output
    assert "ops checklist" in refused.output
    assert site.rows("SELECT FROM runferry.phase_change") == []
    soaked(site, 8)
    green_checklist(site)
    assert ops("set", "db-first").exit_code == 0
    assert ops("set", "db-only").exit_code == 2
    assert ops("set", "db-only", "--force").exit_code == 2
    forced = ops("set", "db-only", "--force", "--why", "a rehearsal", "--json")
    assert forced.exit_code == 0, forced.output
    assert len(json.loads(forced.stdout)["forced_past"]) == 1
    assert ops("set", "files-only", "--why", "enough").exit_code == 0
    shown = json.loads(ops("show", "--json").stdout)
    assert (shown["phase"], shown["override"], shown["next"]["obstacles"]) == ("files-only", True, [])
    history = [(change["phase"], change["forced"], change["why"]) for change in shown["history"]]
    assert history == [
        ("files-only", False, "enough"),
        ("db-only", True, "a rehearsal"),
        ("db-first", False, ""),
    ]
    assert all("@" in change["who"] and change["evidence"]["before"] for change in shown["history"])
    (audit,) = site.rows("SELECT action, why FROM runferry.audit")
    assert audit == {"action": "phase forced", "why": "a rehearsal"}
    assert "files-only by" in ops("show").output


def test_every_live_process_follows_within_two_seconds_and_is_named(
    site: Site, stores: Any, ops: Ops, settings: Settings
) -> None:
    store = stores()
    emitter = Emitter(settings)
    assert store.phase is Phase.DUAL_WRITE
    emitter.emit("run-1", 2, {"a.md": "# A"})
    start_s = time.monotonic()
    changed = json.loads(ops("set", "files-only", "--json").stdout)
    assert time.monotonic() - start_s < 4
    assert changed["silent"] == []
    assert sorted(name.rpartition(" ")[0] for name in changed["acknowledged"]) == ["emitter", "stage store"]
    assert store.phase is Phase.FILES_ONLY
    assert not emitter.emit("run-1", 3, {"a.md": "# A"}).published
    assert recall(settings.home) == read_copy(site.broker.client, settings.namespace)
    emitter.close()


def test_a_silent_process_is_named_until_it_counts_as_gone(
    site: Site, stores: Any, ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores()
    assert store.phase is Phase.DUAL_WRITE
    until(lambda: site.broker.client.scard("runferry:__processes__"), "an announcement")
    monkeypatch.setattr("ops.phase.acknowledging._PATIENCE_S", 0.0)
    changed = ops("set", "files-only", "--json")
    if changed.exit_code:  # it may have followed already
        assert len(json.loads(changed.stdout)["silent"]) == 1
    until(lambda: store.phase is Phase.FILES_ONLY, "the phase", 5)


def test_files_only_holds_the_live_queue_and_leaves_the_hold_of_a_person_alone(site: Site, ops: Ops) -> None:
    holds = Holds(site.broker.client, site.settings.namespace)
    ops("set", "files-only")
    assert holds.all()[queues.LIVE].why == "the phase is files-only"
    worker = site.start_worker()
    site.await_workers(worker)
    ops("set", "dual-write")
    assert holds.all() == {}
    holds.put(queues.LIVE, Hold("me@here", "a release", datetime.now(UTC)))
    ops("set", "files-only")
    ops("set", "dual-write")
    assert holds.all()[queues.LIVE].who == "me@here"


def test_a_process_stays_in_the_last_phase_it_heard_of_while_the_stores_are_away(
    stores: Any, ops: Ops, settings: Settings
) -> None:
    ops("set", "files-only")
    first = stores()
    until(lambda: first.phase is Phase.FILES_ONLY, "the phase")
    away = stores(redis_url=SecretStr("redis://127.0.0.1:1/0"), database_url=NOWHERE)
    assert away.phase is Phase.FILES_ONLY
    assert not away.write("run-1", 2, {"a.md": "# A"}).published


def test_with_redis_away_postgresql_tells_the_phase(
    stores: Any, ops: Ops, proxy: RedisProxy, tmp_path: Path
) -> None:
    proxy.cut()
    store = stores(redis_url=SecretStr(proxy.url), home=tmp_path / "other")
    assert store.phase is Phase.DUAL_WRITE
    told = ops("set", "files-only", redis_url=proxy.url)
    assert told.exit_code == 1
    assert "Redis could not be told" in told.output
    until(lambda: store.phase is Phase.FILES_ONLY, "the phase", 3)


def test_a_redis_that_forgot_the_phase_is_told_again(site: Site, stores: Any, ops: Ops) -> None:
    ops("set", "files-only")
    store = stores()
    until(lambda: store.phase is Phase.FILES_ONLY, "the phase")
    site.broker.client.flushdb()
    until(lambda: read_copy(site.broker.client, site.settings.namespace), "the copy", 5)
    assert queues.LIVE in Holds(site.broker.client, site.settings.namespace).all()
    assert store.phase is Phase.FILES_ONLY


def test_what_was_remembered_of_another_database_is_forgotten(stores: Any, settings: Settings) -> None:
    remember(settings.home, PhaseChange(Phase.DB_ONLY, datetime.now(UTC), "me@here"))
    store = stores()
    until(lambda: store.phase is Phase.DUAL_WRITE, "the phase", 5)
    assert recall(settings.home) is None


def test_a_database_from_a_backup_sets_phases_that_are_later_than_what_processes_remember(
    site: Site, stores: Any, ops: Ops
) -> None:
    ops("set", "files-only")
    store = stores()
    until(lambda: store.phase is Phase.FILES_ONLY, "the phase")
    site.do("UPDATE runferry.phase_change SET at = at - interval '1 year', phase = 'dual-write'")
    site.do("DELETE FROM runferry.phase_change")
    assert ops("set", "dual-write").exit_code == 0
    until(lambda: store.phase is Phase.DUAL_WRITE, "the phase", 5)


def test_looking_at_the_phase_of_a_restored_database_moves_nobody(site: Site, stores: Any, ops: Ops) -> None:
    ops("set", "dual-write")
    ops("set", "files-only", "--why", "an incident")
    store = stores()
    until(lambda: store.phase is Phase.FILES_ONLY, "the phase")
    copy = read_copy(site.broker.client, site.settings.namespace)
    site.do("DELETE FROM runferry.phase_change WHERE phase = 'files-only'")  # restored by other means than ours

    shown = ops("show")

    assert "The phase is files-only" in shown.output
    assert "its database was restored. `ops phase set files-only` writes it there" in shown.output
    assert read_copy(site.broker.client, site.settings.namespace) == copy
    assert ops("set", "files-only").exit_code == 0
    assert json.loads(ops("show", "--json").stdout)["in_history"]
    site.do("DELETE FROM runferry.phase_change WHERE phase = 'files-only'")
    assert ops("set", "dual-write").exit_code == 0
    until(lambda: store.phase is Phase.DUAL_WRITE, "the phase", 5)


def test_files_only_says_what_waits_in_the_outbox_of_this_host(site: Site, stores: Any, ops: Ops) -> None:
    store = stores(Phase.DB_ONLY, redis_url=SecretStr("redis://127.0.0.1:1/0"), database_url=NOWHERE)
    assert store.write("run-1", 2, {"a.md": "# A"}).in_outbox
    store.close()
    told = ops("set", "files-only", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["outbox_here"] == 1
    assert f"1 output waits in {site.settings.home / 'outbox'} on this host" in told.stderr
    assert "it stays there" in told.stderr
    assert "outbox" not in ops("set", "dual-write").stderr


def test_going_down_says_what_is_only_in_rows(site: Site, stores: Any, ops: Ops) -> None:
    site.start_worker()
    soaked(site, 50)
    green_checklist(site)
    ops("set", "db-first")
    ops("set", "db-only", "--force", "--why", "a test")
    store = stores()
    until(lambda: store.phase is Phase.DB_ONLY, "the phase", 5)
    assert store.write("run-1", 2, {"a.md": "# A"}).committed(60) == "committed"
    down = ops("set", "dual-write")
    assert "1 output of 1 run (run-1) is only in rows" in down.output
    assert f"ops export --all --to {site.settings.root}" in down.output
    assert down.exit_code == 0
    until(lambda: store.phase is Phase.DUAL_WRITE, "the phase", 5)
    assert store.read("run-1", 2).text("a.md") == "# A"


def test_two_people_never_change_the_phase_at_once(site: Site, ops: Ops) -> None:
    async def both() -> list[Any]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(
                loop.run_in_executor(None, site.command, "ops.command", "phase", "set", phase)
                for phase in ("files-only", "files-only")
            )
        )

    results = asyncio.run(both())
    assert [result.status for result in results] == [0, 0], results
    assert len(site.rows("SELECT FROM runferry.phase_change")) == 1
