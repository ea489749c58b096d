"""The feed tends to what is underway, and ends it whatever ends the feed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from producers.feed import Feed, RunOutputs, Selection
from producers.publisher import StoppedError
from producers.tally import Tally
from shared.errors import QueueAway
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits


class _Sink:
    """Notes what it is told, and fails or is stopped where the test says so."""

    def __init__(self, at_take: BaseException | None = None, at_finish: BaseException | None = None) -> None:
        self.told: list[str] = []
        self._at_take = at_take
        self._at_finish = at_finish

    def take(self, batch: Sequence[RunOutputs]) -> None:
        self.told.append(f"take {len(batch)}")
        if self._at_take is not None:
            raise self._at_take

    def tend(self) -> None:
        self.told.append("tend")

    def finish(self) -> None:
        self.told.append("finish")
        if self._at_finish is not None:
            raise self._at_finish


def _feed(root: Path, sink: _Sink, tally: Tally, stop: threading.Event, settle_s: float = 0.0) -> Feed:
    limits = Limits(settle_s, 1 << 20)
    scanner = Scanner(root, limits)
    return Feed(scanner, Selection(), sink, tally, stop=stop, awaits_settling=True, settle_s=settle_s)


def test_what_is_underway_is_tended_to_with_every_run_even_where_none_has_outputs(tree: Any) -> None:
    for number in range(3):
        (tree.root / f"run-{number}").mkdir()
    sink = _Sink()
    with closing(Tally()) as tally:
        _feed(tree.root, sink, tally, threading.Event()).run()
    assert sink.told == ["tend", "tend", "tend", "finish"]


def test_it_ends_what_is_underway_when_it_is_stopped(tree: Any) -> None:
    (tree.root / "run-1").mkdir()
    stop = threading.Event()
    stop.set()
    sink = _Sink()
    with closing(Tally()) as tally, pytest.raises(StoppedError):
        _feed(tree.root, sink, tally, stop).run()
    assert sink.told == ["finish"]


def test_it_ends_what_is_underway_before_it_waits_for_outputs_to_settle(tree: Any) -> None:
    stage = tree.root / "run-1" / "stage2"
    stage.mkdir(parents=True)
    (stage / "trends.json").write_text("{}")
    sink = _Sink()
    with closing(Tally()) as tally:
        _feed(tree.root, sink, tally, threading.Event(), settle_s=0.3).run()
    assert sink.told == ["tend", "finish", "take 1", "finish"]


def test_the_first_error_is_the_one_that_is_told(tree: Any) -> None:
    stage = tree.root / "run-1" / "stage2"
    stage.mkdir(parents=True)
    (stage / "trends.json").write_text("{}")
    sink = _Sink(OSError("the disk is gone"), QueueAway("nobody answers"))
    with closing(Tally()) as tally, pytest.raises(OSError, match="the disk is gone"):
        _feed(tree.root, sink, tally, threading.Event()).run()
