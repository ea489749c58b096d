"""Reports that are made while everything moves and breaks never call missing or different what is on its way.

The gate makes a few; `make faults` makes fifty, by a seed that it prints.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest
import redis
from real_workers import Ended, Site
from storm import Fault, OwnServices, Plan, Storm, plant

from benchmarks.tree import run_id
from producers import Emitter
from shared.documents import Document
from shared.errors import QueueAway

LONG = os.environ.get("FAULTS_LONG") == "1"
REPORTS = 50 if LONG else 3
RUNS = 60 if LONG else 8
AT_ONCE = 2
_EVERY = (Fault.KILL_WORKER, Fault.KILL_WORKER, Fault.DROP_CONNECTIONS, Fault.RESTART_POSTGRES, Fault.KILL_REDIS)
#: Where an output may stand that is in the rows, on its way to them, or dead with its reason.
ALLOWED = {"match", "in_flight", "superseded", "dead_lettered", "unsettled"}


@dataclass
class Traffic:
    """What moves meanwhile, each until `stop`: a pipeline, backfills, replays, faults."""

    site: Site
    storm: Storm
    random: Random
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)

    def pipeline(self) -> None:
        """Emit a stage's output and put it on disk, again and again; the message first, so no file is ahead of it."""
        with Emitter(self.site.settings) as emitter:
            while not self.stop.wait(0.05):
                self.done["emits"] += 1
                number = self.random.randrange(RUNS)
                folder = self.site.settings.root / run_id(number) / "stage3"
                new = Document("lessons.json", b'{"lessons": [%d]}' % self.done["emits"])
                if not self._emitted(emitter, run_id(number), new):
                    return
                (folder / ".new").write_bytes(new.content)
                (folder / ".new").replace(folder / new.name)

    def _emitted(self, emitter: Emitter, name: str, document: Document) -> bool:
        while not self.stop.is_set():
            try:
                emitter.emit(name, 3, [document])
            except (QueueAway, redis.RedisError):
                self.stop.wait(0.2)
            else:
                return True
        return False

    def backfills(self) -> None:
        """Send everything again and again."""
        while not self.stop.is_set():
            self.done["backfills"] += self.site.backfill("--rate", "40/s").status == 0

    def replays(self) -> None:
        """Replay the dead letters again and again; they die again."""
        while not self.stop.wait(0.5):
            self.done["replays"] += (
                self.site.command("ops.command", "dlq", "replay", "--all", "--json").status == 0
            )

    def faults(self) -> None:
        """Let something go wrong every few seconds."""
        while not self.stop.wait(2.0):
            # A worker that is killed before it works breaks nothing.
            self.site.await_workers()
            fault = self.random.choice(_EVERY) if LONG else _EVERY[self.done["faults"] % 3]
            self.storm.strike(fault)
            self.done["faults"] += 1
            self.done[fault] += 1


def test_reports_beside_backfills_emits_replays_and_faults_name_nothing_falsely(
    own_site: Callable[[str, Path], Site],
    own_services: OwnServices,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or (secrets.randbelow(1_000_000) if LONG else 1))

    def say(text: str) -> None:
        print(text)
        if LONG:
            with capsys.disabled():
                print(text, flush=True)

    say(f"\nseed {seed} (make faults SEED={seed} repeats it)")
    plan = replace(Plan.short(seed), runs=RUNS)
    root = tmp_path / "root"
    plant(root, plan)
    site = own_site("reports", root)
    storm = Storm(plan, site, own_services, lambda _: None)
    for _ in range(2):
        storm.start_worker()
    assert site.backfill("--wait").status == 0

    traffic = Traffic(site, storm, Random(seed))
    reports: list[dict[str, int]] = []
    could_not: Counter[str] = Counter()
    with ThreadPoolExecutor(AT_ONCE + 4) as threads:
        moving = [
            threads.submit(each) for each in (traffic.pipeline, traffic.backfills, traffic.replays, traffic.faults)
        ]
        try:
            while len(reports) < REPORTS or not traffic.done["faults"]:
                ended = list(threads.map(lambda _: _report(site), range(AT_ONCE)))
                for one in ended:
                    if one.status == 2:  # a store went away under it: it said so, and proves nothing
                        could_not[one.stderr.strip().splitlines()[-1][:120]] += 1
                        continue
                    verdicts = one.json["verdicts"]
                    wrong = [each for each in one.json["named"] if each["verdict"] not in ALLOWED]
                    assert verdicts.keys() <= ALLOWED, json.dumps(wrong[:5], indent=1)
                    assert sum(verdicts.values()) == one.json["outputs_on_disk"] == 5 * RUNS
                    reports.append(verdicts)
        finally:
            traffic.stop.set()
        for each in moving:
            each.result()
    say(f"{len(reports)} reports, {dict(traffic.done)}, could not: {dict(could_not)}")
    say(f"seen: {dict(sum((Counter(one) for one in reports), Counter()))}")
    site.drain()
    calm = _report(site)
    assert calm.json["balanced"], calm.stdout[:2000]


def _report(site: Site) -> Ended:
    return site.command(
        "ops.command", "reconcile", "--all", "--json", "--settle", "1s", "--root", site.settings.root
    )
