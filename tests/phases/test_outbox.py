"""The outbox: whatever dies, goes away or forgets, an output for which `write` returned reaches the rows."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from real_workers import Site, until
from redis_proxy import RedisProxy

from producers import Emitter, Source
from producers.outbox.deciding import Sight, Step, decide
from producers.outbox.entry import EntryName
from producers.outbox.outbox import Outbox
from shared import queues
from shared.errors import OutboxFull
from shared.settings import Phase, Settings

#: In the gate; `make kills` does many more.
KILLS = int(os.environ.get("KILLS", "20"))


def box(settings: Settings) -> Outbox:
    return Outbox(settings.home, settings.outbox_max_bytes)


def applied(site: Site) -> set[tuple[str, str]]:
    """Run and Markdown of every stage output in the rows."""
    return {
        (row["runId"], row["markdownOutput"])
        for row in site.rows('SELECT "runId", "markdownOutput" FROM "StageOutput"')
    }


def emptied(site: Site) -> None:
    until(lambda: not box(site.settings).count(), lambda: f"an empty outbox; {site.tail()}")


def test_an_entry_holds_the_exact_message_and_leaves_once_it_has_its_end(site: Site, stores: Any) -> None:
    store = stores(Phase.DB_ONLY)
    receipt = store.write("run-1", 2, {"a.md": "# A"})
    (name,) = box(site.settings).names()
    assert name.produced_at == receipt.token.produced_at
    entry = box(site.settings).read(name)
    assert entry is not None
    assert (entry.message.message_id, entry.contract.batch_id) == (
        receipt.token.message_id,
        receipt.token.batch_id,
    )
    assert EntryName.parse(name.file_name) == name
    site.start_worker()
    emptied(site)
    assert applied(site) == {("run-1", "# A")}
    (delivery,) = site.rows("SELECT message_id FROM runferry.delivery")
    assert delivery["message_id"] == receipt.token.message_id


def test_every_durable_end_empties_it(site: Site, stores: Any) -> None:
    site.start_worker()
    store = stores(Phase.DB_ONLY)
    late = store.write("run-1", 2, {"a.md": "# New"})
    assert late.committed(60) == "committed"
    Emitter(site.settings.model_copy(update={"phase": Phase.DB_ONLY})).emit(
        "run-1", 2, {"a.md": "# Older"}, produced_at=late.token.produced_at - timedelta(hours=1)
    )
    store.write("run-1", 2, {"a.md": "# New"})
    store.write("run-1", 1, {"inspirations.json": "{broken"})
    emptied(site)
    assert site.verdicts() == {"applied": 1, "superseded": 1, "duplicate": 1, "dead_lettered": 1}
    kept = site.rows("SELECT content FROM runferry.document WHERE superseded")
    assert [row["content"] for row in kept] == [b"# Older"]


def test_while_redis_is_away_outputs_wait_and_are_sent_by_themselves_when_it_is_back(
    site: Site, stores: Any, proxy: RedisProxy
) -> None:
    proxy.cut()
    store = stores(Phase.DB_ONLY, redis_url=SecretStr(proxy.url), emit_timeout=timedelta(milliseconds=300))
    for number in range(3):
        receipt = store.write("run-1", 2, {"a.md": f"# {number}"})
        assert (receipt.in_outbox, receipt.published) == (True, False)
    assert store.read("run-1", 2).source is Source.IN_FLIGHT
    assert store.read("run-1", 2).text("a.md") == "# 2"
    site.start_worker()
    proxy.restore()
    emptied(site)
    assert applied(site) == {("run-1", "# 2")}


def test_a_redis_that_lost_its_memory_costs_nothing(site: Site, stores: Any) -> None:
    store = stores(Phase.DB_ONLY)
    for number in range(5):
        store.write(f"run-{number}", 2, {"a.md": "# A"})
    assert site.broker.depths()[queues.LIVE].waiting == 5
    site.broker.client.flushdb()
    site.start_worker()
    emptied(site)
    assert len(applied(site)) == 5


@pytest.mark.long
def test_what_a_killed_producer_left_is_sent_by_the_next_process_and_by_the_command(
    site: Site, stores: Any, proxy: RedisProxy
) -> None:
    proxy.cut()
    gone = stores(Phase.DB_ONLY, redis_url=SecretStr(proxy.url), emit_timeout=timedelta(milliseconds=100))
    gone.write("run-1", 2, {"a.md": "# A"})
    gone.close()
    status = site.command("producers.command", "outbox", "status", "--json")
    assert (status.status, status.json["entries"]) == (1, 1)
    stuck = site.command("producers.command", "outbox", "flush", "--wait", "0s", "--json")
    assert (stuck.status, stuck.json["published"], stuck.json["left"]) == (1, 1, 1)
    site.start_worker()
    flushed = site.command("producers.command", "outbox", "flush", "--wait", "60s", "--json")
    assert (flushed.status, flushed.json["removed"], flushed.json["left"]) == (0, 1, 0), flushed.stderr
    assert applied(site) == {("run-1", "# A")}


def test_a_full_outbox_refuses_clearly_and_takes_no_part_of_the_output(site: Site, stores: Any) -> None:
    store = stores(Phase.DB_ONLY, outbox_max_bytes=20_000)
    store.write("run-1", 2, {"a.md": "a" * 15_000})
    with pytest.raises(OutboxFull, match="RUNFERRY_OUTBOX_MAX_BYTES"):
        store.write("run-1", 3, {"a.md": "a" * 15_000})
    assert box(site.settings).count() == 1
    site.start_worker()
    until(lambda: not box(site.settings).count(), "an empty outbox")
    assert store.write("run-1", 3, {"a.md": "a" * 15_000}).in_outbox


def test_a_full_disk_is_told_and_leaves_nothing(site: Site, stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores(Phase.DB_ONLY)
    store.write("run-0", 2, {"a.md": "a"})

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.write("run-1", 2, {"a.md": "a"})
    assert [path.name for path in box(site.settings).folder.iterdir() if path.name.startswith(".new")] == []
    assert box(site.settings).count() == 1
    assert site.broker.in_flight("run-1") == frozenset()


def test_in_files_only_nothing_leaves_the_outbox_for_the_queue(site: Site, stores: Any, proxy: RedisProxy) -> None:
    proxy.cut()
    stores(Phase.DB_ONLY, redis_url=SecretStr(proxy.url)).write("run-1", 2, {"a.md": "# A"})
    flushed = site.command("producers.command", "outbox", "flush", "--json", RUNFERRY_PHASE="files-only")
    assert (flushed.status, flushed.json["published"], flushed.json["left"]) == (1, 0, 1)


def test_the_outbox_can_be_switched_on_in_dual_write(site: Site, stores: Any, proxy: RedisProxy) -> None:
    proxy.cut()
    store = stores(redis_url=SecretStr(proxy.url), outbox_always=True, emit_timeout=timedelta(milliseconds=300))
    receipt = store.write("run-1", 2, {"a.md": "# A"})
    assert (receipt.in_files, receipt.in_outbox, receipt.published) == (True, True, False)
    site.start_worker()
    proxy.restore()
    assert receipt.committed(60) == "committed"
    emptied(site)


def test_a_damaged_entry_is_named_and_harms_no_other(site: Site, stores: Any, proxy: RedisProxy) -> None:
    proxy.cut()
    gone = stores(Phase.DB_ONLY, redis_url=SecretStr(proxy.url), emit_timeout=timedelta(milliseconds=100))
    gone.write("run-1", 2, {"a.md": "# A"})
    gone.close()
    (name,) = box(site.settings).names()
    (box(site.settings).folder / name.file_name).write_bytes(b'{"queue_name"')
    stores(Phase.DB_ONLY).write("run-2", 2, {"a.md": "# B"})
    site.start_worker()
    until(lambda: box(site.settings).names() == [name], "the other's end")
    assert applied(site) == {("run-2", "# B")}
    flushed = site.command("producers.command", "outbox", "flush", "--wait", "0s", "--json")
    assert (flushed.status, flushed.json["damaged"]) == (1, [name.file_name])


SIGHTS = {
    "applied": (Sight("applied", True, True, True, True, False, False), Step.REMOVE),
    "an end without the queue": (Sight("superseded", True, False, False, True, False, False), Step.REMOVE),
    "a conflict is no end": (Sight("conflict", True, False, True, True, False, False), Step.WAIT),
    "in flight": (Sight(None, True, True, True, True, False, False), Step.WAIT),
    "lost by Redis": (Sight(None, True, False, True, True, False, True), Step.PUBLISH),
    "never sent": (Sight(None, False, False, True, True, False, False), Step.PUBLISH),
    "perhaps committed": (Sight(None, False, False, True, True, False, True), Step.WAIT),
    "just being sent": (Sight(None, True, False, True, True, True, False), Step.WAIT),
    "files-only": (Sight(None, True, False, True, False, False, False), Step.WAIT),
    "no queue": (Sight(None, True, False, False, True, False, False), Step.WAIT),
}


@pytest.mark.parametrize("name", SIGHTS)
def test_what_is_done_with_an_entry_follows_from_what_is_known(name: str) -> None:
    sight, step = SIGHTS[name]
    assert decide(sight) is step


#: Forks a pipeline for each line that it reads; the pipeline writes outputs until it is killed, and tells of each
#: for which `write` returned.
PIPELINES = """
import os, sys
from producers import StageStore

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        store = StageStore()
        for number in range(1000):
            name = f"run-{line.strip()}-{number}"
            store.write(name, 2, {"a.md": "# " + name + "x" * 20_000, "b.md": "b"})
            os.write(1, (name + "\\n").encode())
        os._exit(0)
    print(f"pid {pid}", flush=True)
    os.waitpid(pid, 0)
    print("end", flush=True)
"""


@pytest.fixture
def pipelines(site: Site) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PIPELINES],
        env=site.environment(RUNFERRY_PHASE="db-only"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.long
def test_a_producer_killed_at_random_instants_loses_no_output_for_which_write_returned(
    site: Site, stores: Any, pipelines: subprocess.Popen[str]
) -> None:
    site.start_worker()
    rng = random.Random(11)
    returned: set[str] = set()
    assert pipelines.stdin is not None
    assert pipelines.stdout is not None
    for round_ in range(KILLS):
        print(round_, file=pipelines.stdin, flush=True)
        pid = int(pipelines.stdout.readline().removeprefix("pid "))
        # The instant is counted in outputs, and in a part of what one takes.
        outputs = rng.randint(0, 3)
        for _ in range(outputs):
            returned.add(pipelines.stdout.readline().strip())
        spin = rng.randint(0, 20_000)
        while spin:
            spin -= 1
        os.kill(pid, signal.SIGKILL)
        while (line := pipelines.stdout.readline().strip()) != "end":
            returned.add(line)
    flushed = site.command("producers.command", "outbox", "flush", "--wait", "120s", "--json")
    assert flushed.status == 0, flushed.stdout
    rows = {run_id for run_id, _ in applied(site)}
    assert returned <= rows
    assert len(returned) >= KILLS // 2
    assert not site.rows("SELECT FROM runferry.dead_letter")
    broken = 'SELECT FROM "StageOutput" WHERE octet_length("markdownOutput") < 20000'
    assert not site.rows(broken)
    assert json.loads(flushed.stdout)["left"] == 0
