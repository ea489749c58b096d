"""Screen: the overview for people, on one screen of any width from 60 columns on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ops.status.overview import Aged, Database, Overview, Queue, Report
from shared.broker.registry import WorkerInfo, WorkerState
from shared.counting import counted, word_for
from shared.printable import printable
from shared.reconciling.verdicts import Standing, is_fault

_GOOD: Final = "green"
_BAD: Final = "bold red"
_WAITS: Final = "yellow"
_QUIET: Final = "dim"
_LABEL_WIDTH: Final = 10
_BAR_WIDTH: Final = 50
_GAP: Final = 2
_MOST_WORKERS: Final = 8
_MOST_REASONS: Final = 8
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def screen(overview: Overview) -> RenderableType:
    """Return the whole screen."""
    parts: list[RenderableType] = [_head(overview), _facts(_services(overview))]
    if overview.database is not None:
        database = overview.database
        parts += [Text(), _facts([*_proof(database.report), _schedule(database), _backup(database.backup)])]
    if overview.queue is not None:
        parts += [Text(), _queues(overview.queue)]
        if holds := _holds(overview.queue):
            parts.append(_facts(holds))
        parts += [Text(), *_workers(overview.queue)]
    if overview.database is not None:
        parts += [
            Text(),
            _facts([_pace(overview, overview.database), _letters(overview.database), _rows(overview.database)]),
        ]
    return Group(*parts)


def _facts(facts: list[tuple[str, RenderableType]]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(width=_LABEL_WIDTH, no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for label, value in facts:
        table.add_row(Text(label, style=_QUIET), value)
    return table


def _head(overview: Overview) -> RenderableType:
    line = Text("runferry  ", style="bold")
    line.append(overview.phase, style="bold cyan")
    since = overview.phase_since
    line.append(f"  since {since:%Y-%m-%d %H:%M}" if since else "  by default", style=_QUIET)
    table = Table.grid(expand=True)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(line, Text(f"{overview.at:%Y-%m-%d %H:%M:%S} UTC", style=_QUIET))
    return table


def _services(overview: Overview) -> list[tuple[str, RenderableType]]:
    facts: list[tuple[str, RenderableType]] = []
    for name, title in (("postgresql", "PostgreSQL"), ("redis", "Redis")):
        fault = overview.faults.get(name)
        mark = Text("✗ " if fault else "✓ ", style=_BAD if fault else _GOOD)
        place = "embedded" if overview.embedded else overview.places[name]
        facts.append((title, mark + Text(fault or place, style=_BAD if fault else "")))
    return facts


def _proof(report: Report | None) -> list[tuple[str, RenderableType]]:
    if report is None:
        return [("Proof", Text("none yet; make one with: ops reconcile --all", style=_WAITS))]
    what = "all runs" if report.is_whole else "some runs"
    word = Text(
        "BALANCED" if report.balanced else "NOT BALANCED", style=f"bold {_GOOD}" if report.balanced else _BAD
    )
    since: list[tuple[str, RenderableType]] = (
        [("", Text("Runs were rolled back since; prove it anew with: ops reconcile --all", style=_WAITS))]
        if report.rolled_back_since
        else []
    )
    counts = _Items([Text(f"{count:,} {name}", style=_style(name)) for name, count in report.verdicts.items()])
    return [
        (
            "Proof",
            word + Text(f" {_ago(report.age)}: {counted(report.outputs_on_disk, 'output')} of {what}", style=""),
        ),
        *since,
        ("", _bar(report.verdicts)),
        ("", counts),
    ]


def _schedule(database: Database) -> tuple[str, RenderableType]:
    if database.scheduled:
        return "Schedule", Text("a scheduler proves it again and again")
    return "Schedule", Text("no scheduler; start one with: worker --scheduler", style=_WAITS)


def _backup(backup: Aged | None) -> tuple[str, RenderableType]:
    if backup is None:
        return "Backup", Text("none by runferry; make one with: ops backup --to DIR", style=_WAITS)
    return "Backup", Text(f"{_ago(backup.age)}, " + ("verified" if backup.good else "not verified since"))


def _bar(verdicts: Mapping[str, int]) -> Text:
    """Return the shares of the verdicts; what there is at all shows, however few it are."""
    total = sum(verdicts.values()) or 1
    bar = Text()
    for name, count in verdicts.items():
        bar.append("━" * max(1, round(count / total * _BAR_WIDTH)), style=_style(name))
    return bar


def _style(verdict: str) -> str:
    try:
        standing = Standing(verdict)
    except ValueError:  # of a newer version
        return _WAITS
    return _GOOD if standing is Standing.MATCH else _BAD if is_fault(standing) else _WAITS


def _queues(queue: Queue) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=_QUIET)
    table.add_column("Queue", min_width=9)
    for heading in ("waiting", "at work", "delayed", "dead", "oldest", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, state in queue.queues.items():
        depth = state.depth
        table.add_row(
            name,
            _number(depth.waiting),
            _number(depth.in_flight),
            _number(depth.delayed, _WAITS),
            _number(depth.dead, _BAD),
            Text("–" if state.oldest is None else _short(state.oldest), style=_QUIET),
            Text(_size(depth.bytes), style=_QUIET),
        )
    return table


def _holds(queue: Queue) -> list[tuple[str, RenderableType]]:
    return [
        (
            "Held",
            Text(
                f"{name} by {printable(state.hold.who)}: {printable(state.hold.why) or 'no reason'}", style=_WAITS
            ),
        )
        for name, state in queue.queues.items()
        if state.hold is not None
    ]


def _pace(overview: Overview, database: Database) -> tuple[str, RenderableType]:
    line = f"{database.handled_per_s:,.1f} messages/s in the last minute"
    return "Pace", Text(line if overview.left is None else f"{line}, {_short(overview.left)} left")


def _workers(queue: Queue) -> list[RenderableType]:
    if not queue.workers:
        return [_facts([("Workers", Text("none; start them with: worker", style=_BAD))])]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=_QUIET)
    table.add_column(f"Workers ({len(queue.workers)})", no_wrap=True, overflow="ellipsis", min_width=9)
    table.add_column("queues", no_wrap=True, overflow="ellipsis")
    table.add_column("done since its start", overflow="fold")
    for worker in queue.workers[:_MOST_WORKERS]:
        table.add_row(f"{printable(worker.host)}:{worker.pid}", ", ".join(worker.queues), _doing(worker))
    more: list[RenderableType] = []
    if len(queue.workers) > _MOST_WORKERS:
        more = [Text(f"… and {len(queue.workers) - _MOST_WORKERS} more", style=_QUIET)]
    return [table, *more]


def _doing(worker: WorkerInfo) -> Text:
    if worker.state is WorkerState.PAUSED:
        return Text(f"paused: {printable(worker.reason)}", style=_BAD)
    if worker.state is WorkerState.DRAINING:
        return Text("draining", style=_WAITS)
    return Text(_counts(worker.counters) or "nothing yet")


def _letters(database: Database) -> tuple[str, RenderableType]:
    total = sum(database.dead_letters.values())
    if not total:
        return "Letters", Text("no dead letter is open", style=_GOOD)
    shown = dict(list(database.dead_letters.items())[:_MOST_REASONS])
    more = len(shown) < len(database.dead_letters)
    counts = [Text(f"{count:,} {reason}") for reason, count in shown.items()]
    return "Letters", _Items([Text(f"{total:,} open:", style=_BAD), *counts, *([Text("…")] if more else [])])


def _rows(database: Database) -> tuple[str, RenderableType]:
    counts = {**database.rows, f"{word_for(database.ledger, 'output')} in the ledger": database.ledger}
    return "Rows", _Items([Text(f"{count:,} {what}") for what, count in counts.items()])


@dataclass(frozen=True, slots=True)
class _Items:
    """Items side by side, as many as a line holds; broken only between them."""

    items: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for item in self.items:
            if line and line.cell_len + _GAP + item.cell_len > options.max_width:
                yield line
                line = Text()
            line = line + Text(" " * _GAP) + item if line else item.copy()
        yield line


def _counts(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{count:,} {name}" for name, count in counts.items())


def _number(number: int, style: str = "") -> Text:
    return Text(f"{number:,}", style=style if number else _QUIET)


def _ago(age: timedelta) -> str:
    return "just now" if age.total_seconds() < _MINUTE_S else f"{_short(age)} ago"


def _short(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _size(size_bytes: int) -> str:
    if not size_bytes:
        return "–"
    size = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
