"""The disk clock: times while Redis is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers.disk_clock import DiskClock


def test_the_disk_clock_never_goes_back_and_does_not_believe_in_a_far_future(tmp_path: Path) -> None:
    moments = iter([datetime(2026, 1, 1, tzinfo=UTC) - timedelta(minutes=n) for n in range(20)])
    clock = DiskClock(tmp_path, lambda: next(moments))
    first, second = clock.stamp(), clock.stamp()
    assert second > first
    # Redis is an hour ahead: from now on this disk is, too.
    clock.learn(first + timedelta(hours=1))
    assert clock.stamp() > first + timedelta(hours=1)
    other = DiskClock(tmp_path, lambda: first)
    assert other.stamp(after=first + timedelta(days=700)) < first + timedelta(days=1)
    (tmp_path / "clock").write_text("nonsense")
    assert DiskClock(tmp_path, lambda: first).stamp() == first


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_disk_clock_without_memory_still_gives_times(tmp_path: Path, content: bytes) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    (tmp_path / "clock").write_bytes(content)
    assert DiskClock(tmp_path, lambda: now).stamp() == now
    assert DiskClock(tmp_path / "clock" / "no-folder", lambda: now).stamp() == now
