"""Outputs appear whole: whenever their writer dies, every reader sees the old output or the new one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from producers.stage_store import replacing
from producers.stage_store.replacing import replace_output
from shared.documents import Document
from shared.ids import RunId, Stage
from shared.run_folders.intent import INTENT_NAME, Intent
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits

OLD = (Document("a.md", b"old a"), Document("b.json", b'{"old": 1}'), Document("gone.md", b"old"))
NEW = (Document("a.md", b"new a!"), Document("b.json", b'{"new": 2}'), Document("c.md", b"new"))
THEN = datetime(2025, 10, 7, 12, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2025, 10, 7, 12, 0, 1, 654321, tzinfo=UTC)

#: Forks a writer for each job that it is handed; the writer kills itself at the nth call that could change something.
WRITERS = """
import itertools, json, os, signal, sys
from datetime import datetime
from pathlib import Path
from producers.stage_store.replacing import replace_output
from shared.documents import Document

def write(folder, moment, fatal, documents):
    calls = itertools.count(1)

    def mortal(function):
        def call(*arguments, **named):
            if next(calls) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return call

    for name in ("open", "rename", "unlink", "fsync", "utime"):
        setattr(os, name, mortal(getattr(os, name)))
    output = [Document(name, content.encode()) for name, content in documents]
    replace_output(Path(folder), output, datetime.fromisoformat(moment))

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        write(*json.loads(line))
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Writers:
    """Processes that write an output and die at a chosen call."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def write(self, folder: Path, documents: tuple[Document, ...], moment: datetime, call: int) -> int:
        """Have an output written by a process that dies at a call; returns its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output = [(document.name, document.content.decode()) for document in documents]
        print(json.dumps([str(folder), moment.isoformat(), call, output]), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    made = Writers()
    yield made
    made.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seen(root: Path) -> Any:
    """What a scan with no settle time sees of stage 2 of the run."""
    (run,) = Scanner(root, Limits(0, 1 << 20)).named(["run-1"])
    assert not run.faults
    assert not run.unsettled
    return (run.outputs[0].documents, run.outputs[0].produced_at) if run.outputs else None


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return tmp_path / "root" / "run-1" / "stage2"


def test_an_output_replaces_all_of_the_one_before_with_its_own_time(stage: Path) -> None:
    root = stage.parents[1]
    replace_output(stage, OLD, THEN)
    assert seen(root) == (OLD, THEN)
    (stage / "notes.txt").write_text("no document")
    replace_output(stage, NEW, LATER)
    assert seen(root) == (NEW, LATER)
    assert names(stage) == ["a.md", "b.json", "c.md", "notes.txt"]
    replace_output(stage, NEW[:1], THEN)
    replace_output(stage, OLD[:1], LATER)
    assert seen(root) == (OLD[:1], LATER)
    assert names(stage) == ["a.md", "notes.txt"]


def test_a_writer_killed_at_any_call_leaves_the_old_output_or_the_new_one(stage: Path, writers: Writers) -> None:
    root = stage.parents[1]
    kinds = []
    for call in range(1, 60):
        replace_output(stage, OLD, THEN)
        status = writers.write(stage, NEW, LATER, call)
        found = seen(root)
        assert found in ((OLD, THEN), (NEW, LATER)), call
        kinds.append(found == (NEW, LATER))
        if status == 0:
            break
    assert kinds == sorted(kinds)
    assert set(kinds) == {False, True}
    assert kinds[-1]
    replace_output(stage, OLD[:2], THEN)
    assert names(stage) == ["a.md", "b.json"]


def test_what_one_killed_writer_left_never_harms_the_next_that_is_killed_too(
    stage: Path, writers: Writers
) -> None:
    root = stage.parents[1]
    rng = random.Random(7)
    replace_output(stage, OLD, THEN)
    for _ in range(20):
        for documents, moment in ((NEW, LATER), (OLD, THEN)):
            writers.write(stage, documents, moment, rng.randint(1, 40))
            assert seen(root) in ((OLD, THEN), (NEW, LATER))


def test_readers_beside_a_busy_writer_never_see_a_mixture(stage: Path) -> None:
    root = stage.parents[1]
    replace_output(stage, OLD, THEN)
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            replace_output(stage, NEW, LATER)
            replace_output(stage, OLD, THEN)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    found = set()
    scanner = Scanner(root, Limits(0, 1 << 20))
    for _ in range(300):
        (run,) = scanner.named(["run-1"])
        assert not run.faults
        found.update(output.documents for output in run.outputs)
    ending.set()
    for writer in writers:
        writer.join()
    assert found <= {OLD, NEW}
    assert found


def leave_manifest(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the new output over the old one as far as its manifest."""
    replace_output(stage, OLD, THEN)
    with monkeypatch.context() as patch:
        patch.setattr(replacing, "_carry_out", lambda *_: None)
        replace_output(stage, NEW, LATER)
    assert INTENT_NAME in names(stage)


def test_a_left_over_manifest_is_read_past_and_carried_out_by_the_next_writer(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_manifest(stage, monkeypatch)
    assert (stage / "a.md").read_bytes() == b"old a"
    assert seen(stage.parents[1]) == (NEW, LATER)
    replace_output(stage, NEW[:2], THEN)
    assert names(stage) == ["a.md", "b.json"]


@pytest.mark.parametrize("name", ["a.md", "gone.md", "another.md"])
def test_a_pipeline_that_writes_with_open_beside_us_is_unsettled_never_torn(
    stage: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    leave_manifest(stage, monkeypatch)
    # The file system's clock ticks in steps: what is written within one can't be told apart.
    before = (stage / INTENT_NAME).stat().st_ctime_ns
    while (stage / INTENT_NAME).stat().st_ctime_ns >= _touched(stage).stat().st_ctime_ns:
        assert before
    (stage / name).write_text("by open()")
    (run,) = Scanner(stage.parents[1], Limits(0, 1 << 20)).named(["run-1"])
    assert not run.outputs
    assert [part.stage for part in run.unsettled] == [Stage.TRENDS]
    assert run.run_id == RunId("run-1")


def _touched(stage: Path) -> Path:
    probe = stage / "probe.txt"
    probe.write_text("")
    return probe


def test_a_disk_that_is_full_leaves_the_old_output(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_output(stage, OLD, THEN)
    real = os.fsync
    calls = iter(range(100))

    def full(fd: int) -> None:
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            replace_output(stage, NEW, LATER)
    assert seen(stage.parents[1]) == (OLD, THEN)
    assert names(stage) == ["a.md", "b.json", "gone.md"]


@pytest.mark.parametrize("name", ["../x.md", "/x.md", ".hidden.md", ""])
def test_a_manifest_never_names_a_file_outside_of_its_folder(name: str) -> None:
    text = Intent((), (), THEN).to_json().replace(b'"removed": []', f'"removed": ["{name}"]'.encode())
    with pytest.raises(ValueError, match="name of a document"):
        Intent.from_json(text)
