"""Write the figures of a record into the document, between its markers.

python -m benchmarks.performance.document docs/performance/record.json
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import click

from benchmarks.performance import names, thousandfold
from benchmarks.performance.figures import (
    PARTS,
    Cost,
    bound,
    cost,
    goals,
    percentile_ms,
    ratio,
    samples,
)
from benchmarks.performance.names import title
from benchmarks.performance.record import Record, Round

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
_MARKED: Final = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
_ABSENT: Final = "–"
_NOT_MEASURED: Final = "Not measured in this record."


def rendered(text: str, record: Record) -> str:
    """Return the document with the figures of `record`; raises ValueError where its markers are not the sections."""
    found = [match[2] for match in _MARKED.finditer(text)]
    if sorted(found) != sorted(SECTIONS):
        raise ValueError(f"the document has markers for {found}, and there are sections {list(SECTIONS)}")
    return _MARKED.sub(lambda match: f"{match[1]}\n{SECTIONS[match[2]](record)}\n\n{match[3]}", text)


def _machine(record: Record) -> str:
    machine, rounds = record.machine, {one.number for one in record.rounds if _is_whole(one)}
    said = [
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}; "
        f"a page is durable in {machine['fsync_ms']:.2f} ms (fdatasync, median)",
        f"Python {machine['python']}, PostgreSQL {machine['postgres']}, Redis {machine['redis']}, "
        f"runferry {machine['runferry']}",
        f"{record.options['runs']:,} runs of 37 KB, {len(rounds)} rounds, {record.seconds / 60:.0f} minutes, begun "
        f"{record.started_at} at a load of {machine['load_at_start']:.1f}",
        *(f"`{command}`" for command in record.commands),
    ]
    failed = [f"**failed**: {failure.step}: {failure.said.splitlines()[0]}" for failure in record.failures]
    return "\n".join(f"- {line}" for line in [*said, *failed])


def _is_whole(one: Round) -> bool:
    """Whether this is a round of contenders, and not of what was measured beside them."""
    return any(found.name in names.END_TO_END for found in one.carried)


def _goals(record: Record) -> str:
    rows = [[one.what, one.wanted, one.found, "yes" if one.reached else "**no**"] for one in goals(record)]
    return _table(["", "goal", "measured", "reached"], rows)


def _end_to_end(record: Record) -> str:
    found = [one for name in names.END_TO_END if (one := cost(record, name)) is not None]
    rows = []
    for one in found:
        times = ratio(record, "runferry", one.name) if one.name != "runferry" else None
        rows.append([title(one.name), *_speed(one), _number(times, 2), *_spent(one, PARTS), _number(one.wal_kb, 0),
                     _number(one.rows, 0), bound(one, record.machine["cores"])])  # fmt: skip
    heads = ["", "runs/s", "range", "runferry is × as fast", *PARTS, "all", "WAL KB", "rows", "bound by"]
    return _table(heads, rows)


def _alone(record: Record) -> str:
    found = [one for name in [*names.ALONE, *names.LARGE_TREE] if (one := cost(record, name)) is not None]
    rows = [
        [title(one.name), *_speed(one), *_spent(one, PARTS), bound(one, record.machine["cores"])] for one in found
    ]
    return _table(["", "runs/s", "range", *PARTS, "all", "bound by"], rows)


def _latency(record: Record) -> str:
    return _latencies(record, names.LATENCIES)


def _latencies(record: Record, chosen: Iterable[str]) -> str:
    rows = [
        [title(name), *(_number(percentile_ms(record, name, percent), 1) for percent in (50, 95, 99, 100)),
         f"{samples(record, name):,}"]
        for name in chosen
        if samples(record, name)
    ]  # fmt: skip
    return _table(["ms", "p50", "p95", "p99", "most", "messages"], rows)


def _idle(record: Record) -> str:
    idle = [one for number in record.rounds for one in number.idle]
    if not idle:
        return _NOT_MEASURED
    mean, greatest = median(one.mean_share for one in idle), max(one.greatest_share for one in idle)
    return (
        f"An idle worker process used {mean:.2%} of a core (the median of all rounds; the busiest process of "
        f"any round {greatest:.2%})."
    )


def _memory(record: Record) -> str:
    sized = ["runferry", "large", *(names.size_name(runs) for runs in names.SIZES)]
    found = [one for name in sized if (one := cost(record, name)) is not None and one.peak_mib]
    rows = [
        [f"{one.runs:,}", *(_number(one.peak_mib[part], 0) for part in ("producer", "worker", "redis"))]
        for one in found
    ]
    return _table(["MiB at most; runs", "producer", "a worker process", "Redis' used_memory"], rows)


def _scale(record: Record) -> str:
    rows = []
    for processes, threads in names.SCALES:
        one = cost(record, names.scale_name(processes, threads))
        if one is not None:
            rows.append([str(processes), str(threads), *_speed(one), *_spent(one, PARTS),
                         _number(one.peak_mib["worker"], 0), bound(one, record.machine["cores"])])  # fmt: skip
    heads = ["processes", "threads each", "runs/s", "range", *PARTS, "all", "MiB a process", "bound by"]
    return _table(heads, rows)


def _growth(record: Record) -> str:
    sized = [one for runs in names.SIZES if (one := cost(record, names.size_name(runs))) is not None]
    rows = [[title(one.name), *_speed(one)[:1], *_spent(one, PARTS), _number(one.wal_kb, 0)] for one in sized]
    plot = "\n\n![Processor time a run by the number of runs](performance/growth.svg)" if rows else ""
    return _table(["", "runs/s", *PARTS, "all", "WAL KB"], rows) + plot


def _backlog(record: Record) -> str:
    depths = sorted(
        {
            one.runs
            for number in record.rounds
            for one in number.carried
            if one.name == names.filling_name(one.runs)
        }
    )
    filled = [one for depth in depths if (one := cost(record, names.filling_name(depth))) is not None]
    drained = [one for depth in depths if (one := cost(record, names.backlog_name(depth))) is not None]
    rows = [
        [title(one.name), *_speed(one)[:1], *_spent(one, PARTS), _number(one.peak_mib.get("redis"), 0)]
        for one in [*filled, *drained]
    ]
    live = _latencies(record, [names.behind_name(depth) for depth in depths])
    return f"{_table(['', 'messages/s', *PARTS, 'all', 'Redis MiB'], rows)}\n\n{live}" if rows else _NOT_MEASURED


def _thousandfold(record: Record) -> str:
    found = list(thousandfold.parts(record))
    rows = [[part.name, part.measured, _number(part.runs_per_s, 0), part.needed] for part in found]
    heads = ["", "a run", "one carries runs/s", f"at {thousandfold.RUNS_PER_S:,.0f} runs/s"]
    first = thousandfold.first_to_saturate(record)
    said = (
        f"\n\nOf one each, the first that is full is **{first.name}**, at {first.runs_per_s:,.0f} runs/s."
        if first
        else ""
    )
    return _table(heads, rows) + said


SECTIONS: Final[Mapping[str, Callable[[Record], str]]] = {
    "machine": _machine,
    "goals": _goals,
    "end-to-end": _end_to_end,
    "alone": _alone,
    "latency": _latency,
    "idle": _idle,
    "memory": _memory,
    "scale": _scale,
    "growth": _growth,
    "backlog": _backlog,
    "thousandfold": _thousandfold,
}


def _speed(one: Cost) -> list[str]:
    return [f"{one.runs_per_s:,.0f}", f"{one.slowest_runs_per_s:,.0f}–{one.fastest_runs_per_s:,.0f}"]


def _spent(one: Cost, parts: Sequence[str]) -> list[str]:
    return [*(_number(one.cpu_ms.get(part), 2) for part in parts), _number(one.total_cpu_ms, 2)]


def _number(value: float | None, digits: int) -> str:
    return _ABSENT if value is None else f"{value:,.{digits}f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return _NOT_MEASURED
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


@click.command()
@click.argument("record", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--to", "document", type=click.Path(path_type=Path, dir_okay=False), default=DOCUMENT)
def main(record: Path, document: Path) -> None:
    """Write the figures of RECORD into docs/performance.md."""
    try:
        document.write_text(rendered(document.read_text(), Record.read(record)))
    except ValueError as error:
        click.echo(f"{document}: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
