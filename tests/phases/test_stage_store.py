"""The stage store in each phase, with real workers, and without one of the stores."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from real_workers import Site, until
from redis_proxy import RedisProxy

from producers import AsyncStageStore, Source, StageStore
from shared.errors import (
    DatabaseAway,
    Malformed,
    OutputBusy,
    OutputDeadLettered,
    StageOutputNotFound,
    UsageError,
)
from shared.run_folders.stage_folder import produced_at
from shared.settings import Phase, Settings

MARKDOWN = "# Trends\r\n\nÜber–alles  \n"
DATA: dict[str, Any] = {"trends": [1.10, {"ü": None}], "n": 12345678901234567890}
OUTPUT = {"trends.json": json.dumps(DATA), "notes-2.md": MARKDOWN, "notes-10.md": "ten"}
FILE_PHASES = (Phase.FILES_ONLY, Phase.DUAL_WRITE, Phase.DB_FIRST)
NOWHERE = SecretStr("postgresql://nobody:nothing@127.0.0.1:1/none")


def names(site: Site, run_id: str = "run-1", stage: int = 2) -> list[str]:
    folder = site.settings.root / run_id / f"stage{stage}"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def ledger(site: Site, run_id: str = "run-1") -> list[Any]:
    return site.rows("SELECT stage, produced_at FROM runferry.ledger WHERE run_id = $1 ORDER BY 1", run_id)


@pytest.mark.parametrize("phase", list(Phase))
def test_what_was_written_is_read_back(site: Site, stores: Any, phase: Phase) -> None:
    site.start_worker()
    store = stores(phase)
    receipt = store.write("run-1", 2, OUTPUT)
    assert (receipt.in_files, receipt.in_outbox) == (phase is not Phase.DB_ONLY, phase is Phase.DB_ONLY)
    assert receipt.published == (phase is not Phase.FILES_ONLY)
    sources = []
    if phase is not Phase.FILES_ONLY:
        assert receipt.committed(60) == "committed"
        assert [row["produced_at"] for row in ledger(site)] == [receipt.token.produced_at]
    for reading in (store, stores(phase)):
        output = reading.read("run-1", 2)
        sources.append(output.source)
        assert output.names == ("notes-2.md", "notes-10.md", "trends.json")
        assert output.text("notes-2.md") == MARKDOWN
        assert output.json("trends.json") == DATA
        assert output.produced_at == receipt.token.produced_at
    rows_first = phase in (Phase.DB_FIRST, Phase.DB_ONLY)
    assert sources[0] is (Source.ROWS if rows_first else Source.FILES) or phase is Phase.DB_ONLY
    assert bool(names(site)) == (phase is not Phase.DB_ONLY)


def test_files_have_the_time_of_the_output_so_that_a_backfill_of_them_is_a_duplicate(
    site: Site, stores: Any
) -> None:
    site.start_worker()
    receipt = stores().write("run-1", 2, OUTPUT)
    assert receipt.committed(60) == "committed"
    for path in (site.settings.root / "run-1" / "stage2").iterdir():
        assert produced_at(path.stat().st_mtime_ns) == receipt.token.produced_at
    assert site.backfill("--wait").json["duplicates"] == 1


def test_an_output_that_is_nowhere_is_told_with_both_places(site: Site, stores: Any) -> None:
    for phase in Phase:
        with pytest.raises(StageOutputNotFound) as caught:
            stores(phase).read("run-1", 3)
        assert "run-1/stage3" in str(caught.value)
        assert "not in the rows of postgresql://" in str(caught.value)
    with pytest.raises(StageOutputNotFound, match="DATABASE_URL is not set"):
        stores(Phase.DUAL_WRITE, database_url=None).read("run-1", 3)


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.DB_FIRST])
def test_the_other_place_is_tried(site: Site, stores: Any, tmp_path: Path, phase: Phase) -> None:
    site.start_worker()
    receipt = stores(Phase.DB_ONLY, home=tmp_path / "other").write("run-1", 2, OUTPUT)
    assert receipt.committed(60) == "committed"
    store = stores(phase)
    assert store.read("run-1", 2).source is Source.ROWS
    stores(Phase.FILES_ONLY).write("run-2", 2, OUTPUT)
    found = store.read("run-2", 2)
    assert found.source is Source.FILES
    assert found.text("notes-2.md") == MARKDOWN


def test_db_first_prefers_a_file_that_is_newer_than_the_ledger(site: Site, stores: Any) -> None:
    site.start_worker()
    store = stores(Phase.DB_FIRST)
    assert store.write("run-1", 2, OUTPUT).committed(60) == "committed"
    assert store.read("run-1", 2).source is Source.ROWS
    stores(Phase.FILES_ONLY).write("run-1", 2, {"trends.json": "{}"})
    found = store.read("run-1", 2)
    assert (found.source, found.names) == (Source.FILES, ("trends.json",))
    assert store.counters()["reads_of_newer_files"] == 1


def test_db_first_reads_files_while_the_database_is_away_and_counts_it(stores: Any) -> None:
    store = stores(Phase.DB_FIRST, database_url=NOWHERE)
    store.write("run-1", 2, OUTPUT)
    start_s = time.monotonic()
    for _ in range(5):
        assert store.read("run-1", 2).source is Source.FILES
    assert time.monotonic() - start_s < 2
    assert store.counters()["fallbacks_to_files"] == 5


def test_db_only_never_gives_a_file_of_long_ago_for_rows_that_it_cannot_ask(stores: Any) -> None:
    stores(Phase.FILES_ONLY).write("run-1", 2, OUTPUT)
    with pytest.raises(DatabaseAway):
        stores(Phase.DB_ONLY, database_url=NOWHERE).read("run-1", 2)


@pytest.mark.parametrize(
    ("phase", "silent"), [(Phase.DUAL_WRITE, True), (Phase.DUAL_WRITE, False), (Phase.DB_FIRST, False)]
)
def test_a_broken_queue_never_fails_a_stage_nor_holds_it_longer_than_the_bound(
    site: Site, stores: Any, proxy: RedisProxy, phase: Phase, silent: bool
) -> None:
    if silent:
        proxy.fall_silent()
    else:
        proxy.cut()
    store = stores(phase, redis_url=SecretStr(proxy.url), database_url=NOWHERE)
    for number in range(2):
        start_s = time.monotonic()
        receipt = store.write("run-1", 2, {"trends.json": str(number)})
        assert time.monotonic() - start_s < 1.5
        assert (receipt.in_files, receipt.published) == (True, False)
        assert receipt.committed(5) == "unknown"
    assert not store.run_failed("run-1", "no")
    assert store.read("run-1", 2).json("trends.json") == 1
    assert store.counters()["unpublished"] == 2


def test_times_given_without_redis_are_later_than_those_before_and_earlier_than_those_after(
    stores: Any, proxy: RedisProxy
) -> None:
    store = stores(Phase.DUAL_WRITE, redis_url=SecretStr(proxy.url))
    tokens = [store.write("run-1", 2, {"a.md": "1"}).token]
    proxy.cut()
    tokens += [store.write("run-1", 2, {"a.md": "2"}).token, store.write("run-1", 2, {"a.md": "3"}).token]
    proxy.restore()
    until(lambda: store.write("run-2", 2, {"a.md": "x"}).published, "Redis back")
    tokens.append(store.write("run-1", 2, {"a.md": "4"}).token)
    moments = [token.produced_at for token in tokens]
    assert moments == sorted(set(moments))
    assert abs(moments[-1] - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_dead_lettered_output_raises_at_once_instead_of_timing_out(site: Site, stores: Any) -> None:
    site.start_worker()
    store = stores(Phase.DB_ONLY)
    receipt = store.write("run-1", 1, {"inspirations.json": "{broken"})
    for wait in (lambda: receipt.committed(60), lambda: store.read("run-1", 1, at_least=str(receipt.token))):
        with pytest.raises(OutputDeadLettered, match="ops dlq show") as caught:
            wait()
        assert caught.value.letter_id
        assert caught.value.reason == "not_json"


def test_a_token_finds_its_output_or_a_later_one_and_waits_no_longer_than_it_may(site: Site, stores: Any) -> None:
    store, reader = stores(Phase.DB_ONLY), stores(Phase.DB_ONLY)
    first = str(store.write("run-1", 2, {"a.md": "1"}).token)
    start_s = time.monotonic()
    found = reader.read("run-1", 2, at_least=first, timeout=0.3)
    # No worker is there. The same host has it in its outbox.
    assert (found.source, found.text("a.md")) == (Source.IN_FLIGHT, "1")
    assert time.monotonic() - start_s < 5
    site.start_worker()
    second = str(store.write("run-1", 2, {"a.md": "2"}).token)
    assert reader.read("run-1", 2, at_least=second, timeout=60).source is Source.ROWS
    assert reader.read("run-1", 2, at_least=first).text("a.md") == "2"
    with pytest.raises(UsageError, match="stage 2 of run-1"):
        reader.read("run-1", 3, at_least=first)
    with pytest.raises(UsageError, match="no token"):
        reader.read("run-1", 2, at_least="rf1:2:x")


def test_a_token_of_another_host_is_waited_for_where_the_files_are_older(
    site: Site, stores: Any, tmp_path: Path
) -> None:
    here = stores(Phase.DUAL_WRITE)
    here.write("run-1", 2, {"a.md": "old"})
    there = stores(Phase.DUAL_WRITE, root=tmp_path / "elsewhere", home=tmp_path / "other")
    token = there.write("run-1", 2, {"a.md": "new"}).token
    with pytest.raises(OutputBusy, match="not in the rows"):
        stores(Phase.DUAL_WRITE, redis_url=SecretStr("redis://127.0.0.1:1/0")).read(
            "run-1", 2, at_least=token, timeout=0.3
        )
    site.start_worker()
    assert here.read("run-1", 2, at_least=token, timeout=60).text("a.md") == "new"


def test_without_a_token_another_host_finds_what_is_only_in_the_queue(stores: Any, tmp_path: Path) -> None:
    stores(Phase.DB_ONLY).write("run-1", 2, OUTPUT)
    found = stores(Phase.DB_ONLY, home=tmp_path / "other").read("run-1", 2)
    assert found.source is Source.IN_FLIGHT
    assert found.json("trends.json") == DATA


def test_behind_a_transaction_pooler_a_receipt_is_known_by_polling(
    site: Site, stores: Any, settings: Settings
) -> None:
    site.start_worker()
    pooled = SecretStr(site.database_url + "&pgbouncer=true")
    receipt = stores(Phase.DB_ONLY, database_url=pooled).write("run-1", 2, OUTPUT)
    assert receipt.committed(60) == "committed"


def test_a_receipt_says_that_it_cannot_know(stores: Any) -> None:
    assert stores(database_url=None).write("run-1", 2, OUTPUT).committed(5) == "unknown"
    assert stores(Phase.FILES_ONLY).write("run-1", 2, OUTPUT).committed(5) == "unknown"
    assert stores(database_url=NOWHERE).write("run-1", 2, OUTPUT).committed(0.5) == "unknown"


@pytest.mark.parametrize(
    ("documents", "error"),
    [
        ({"notes.txt": "x"}, UsageError),
        ({".hidden.md": "x"}, UsageError),
        ({"a/b.md": "x"}, UsageError),
        ({}, Malformed),
        ({"a.md": "x" * 2000}, Malformed),
    ],
)
def test_what_is_no_output_is_refused_before_anything_is_written(
    site: Site, stores: Any, documents: dict[str, str], error: type[Exception]
) -> None:
    store = stores(max_output_bytes=1024)
    with pytest.raises(error):
        store.write("run-1", 2, documents)
    with pytest.raises(Malformed):
        store.write("../run-1", 2, {"a.md": "x"})
    assert names(site) == []


def test_asyncio_has_the_same_store(site: Site, settings: Settings) -> None:
    site.start_worker()

    async def use() -> None:
        async with AsyncStageStore(settings.model_copy(update={"phase": Phase.DB_FIRST})) as store:
            receipts = await asyncio.gather(*(store.write(f"run-{n}", 2, OUTPUT) for n in range(5)))
            assert [await receipt.committed(60) for receipt in receipts] == ["committed"] * 5
            output = await store.read("run-1", 2, at_least=str(receipts[1].token))
            assert output.json("trends.json") == DATA
            assert await store.phase() is Phase.DB_FIRST

    asyncio.run(use())


def test_a_store_that_nobody_used_connects_to_nothing() -> None:
    nowhere = SecretStr("redis://127.0.0.1:1/0")
    StageStore(Settings(redis_url=nowhere, database_url=NOWHERE)).close()
