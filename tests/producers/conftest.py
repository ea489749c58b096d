"""Run trees on a real file system, and a queue that remembers what it was sent."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from producers.scanner import Scanner
from producers.stage_folder import Limits
from shared import queues
from shared.broker.depths import Depth, Memory
from shared.errors import QueueAway

#: Long before any settle time.
OLD_S = 1_700_000_000

CARD = """# Card {number}

## Tagline
Short.

## Problem
A problem.

## Solution
A solution.

## Why Now
Now.

## Target Segment
Everybody.

## Quick Win
Soon.
"""
INSPIRATIONS = (
    '{"inspirations": [{"title": "A", "content": "a", "key_elements": ["x"]},'
    ' {"title": "B", "content": "b", "key_elements": []}]}'
)
WHOLE_RUN: dict[str, str | bytes] = {
    "stage1/inspirations.json": INSPIRATIONS,
    "stage2/trends.json": '{"trends": []}',
    "stage3/lessons.json": '{"lessons": []}',
    "stage4/context.json": '{"brand_id": "acme"}',
    **{f"stage5/opportunity-{number}.md": CARD.format(number=number) for number in range(1, 6)},
}


class Tree:
    """A root of run folders; what is written is old unless it is said otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, run_id: str, files: Mapping[str, str | bytes] = WHOLE_RUN, *, at_s: float = OLD_S) -> Path:
        run = self.root / run_id
        run.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            os.utime(path, (at_s, at_s))
        self.age(run, at_s)
        return run

    def age(self, run: Path, at_s: float = OLD_S) -> None:
        """Set the times of the run's folders, which every new name changes."""
        for folder in [run, *(path for path in run.iterdir() if path.is_dir() and not path.is_symlink())]:
            os.utime(folder, (at_s, at_s))

    def scanner(self, *, settle_s: float = 10, max_output_bytes: int = 8 << 20, **clocks: Any) -> Scanner:
        return Scanner(self.root, Limits(settle_s, max_output_bytes), **clocks)


class FakeQueue:
    """Takes messages until it is told that Redis is away, and drains nothing by itself."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.calls: list[int] = []
        self.failures: list[QueueAway] = []
        self.pending = 0
        self.bytes = 0
        self.memory_now = Memory(used_bytes=0, max_bytes=0, policy="noeviction")

    def enqueue_many(self, messages: Iterable[Any]) -> int:
        if self.failures:
            raise self.failures.pop()
        sent = list(messages)
        self.messages.extend(sent)
        self.calls.append(len(sent))
        self.pending += len(sent)
        return len(sent)

    def depths(self) -> Mapping[str, Depth]:
        return {queues.BACKFILL: Depth(self.pending, 0, 0, 0, self.bytes)}

    def memory(self) -> Memory:
        return self.memory_now


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    return Tree(root)


@pytest.fixture
def fake_queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait for a condition, for 20 s at most, and return what it gave."""

    def wait(condition: Callable[[], Any]) -> Any:
        end_s = time.monotonic() + 20
        pause = threading.Event()
        while time.monotonic() < end_s:
            if result := condition():
                return result
            pause.wait(0.01)
        raise AssertionError("it did not become true within 20 s")

    return wait
