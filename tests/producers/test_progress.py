"""Progress tells how far it is on a terminal of any width, and in plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from producers.progress import BarReporter, LineReporter, Snapshot


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {
        "elapsed_s": 10.0,
        "scanned": 1_500,
        "published": 1_200,
        "committed": 1_000,
        "total": 4_000,
        "waiting": "2,000 messages wait (RUNFERRY_HIGH_WATER_MESSAGES)",
    }
    return Snapshot(**(values | changes))  # type: ignore[arg-type]


def test_rate_and_time_left_go_by_what_is_committed() -> None:
    assert (snapshot().rate_per_s, snapshot().left) == (100.0, "0:00:30")
    assert snapshot(committed=None).rate_per_s == 150.0
    assert snapshot(total=None).left == "-:--:--"
    assert snapshot(elapsed_s=0.0).left == "-:--:--"
    assert snapshot(total=10).left == "0:00:00", "runs came while it was counted"


def test_a_plain_line_comes_every_few_seconds_and_notes_at_once() -> None:
    lines: list[str] = []
    now_s = [0.0]
    reporter = LineReporter(lines.append, monotonic_s=lambda: now_s[0])
    for now_s[0] in (0.0, 1.0, 4.9, 5.0, 5.1, 9.9, 10.0):
        reporter.update(snapshot())
    reporter.note("No live worker")
    reporter.close()
    assert lines[0] == (
        "1,500 scanned, 1,200 published, 1,000 committed of 4,000 runs; 100.0 runs/s, 0:00:30 left; "
        "2,000 messages wait (RUNFERRY_HIGH_WATER_MESSAGES)"
    )
    assert (len(lines), lines[-1]) == (3, "No live worker")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_bar_fits_and_leaves_nothing_but_notes_behind(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, no_color=True, legacy_windows=False)
    reporter = BarReporter(console)
    reporter.update(snapshot())
    reporter.update(snapshot(total=None, waiting=None))
    reporter.note("[not markup]")
    reporter.close()
    with console.capture() as captured:
        console.print(reporter.render(snapshot()))
    shown = captured.get().splitlines()
    assert len(shown) == 2
    assert all(len(Text.from_ansi(line).plain) <= width for line in shown)
    assert "[not markup]" in screen.getvalue()
    assert "1,500 scanned" in shown[0]
