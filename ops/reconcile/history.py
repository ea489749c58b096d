"""History: the reports so far."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

from ops.dlq.database import with_database
from ops.dlq.tables import Row, print_rows
from ops.reconcile.queries import QUERIES
from shared.command import DONE, print_json, say
from shared.settings import Settings
from shared.stores import Stores

_REPORTS = 50


def show_history(settings: Settings, *, as_json: bool) -> int:
    """Print the last reports, newest first."""

    async def read(connection: asyncpg.Connection, _: Stores) -> list[Any]:
        return list(await connection.fetch(QUERIES["history"], _REPORTS))

    reports = [_report(row) for row in with_database(settings, read)]
    if as_json:
        print_json(reports)
    elif not reports:
        say("There is no report yet; make one with: ops reconcile --all")
    else:
        print_rows(map(_row, reports))
    return DONE


def _report(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "scope": orjson.loads(row["scope"]),
        "balanced": row["balanced"],
        **{key: value for key, value in orjson.loads(row["report"]).items() if key not in ("balanced", "scope")},
    }


def _row(report: dict[str, Any]) -> Row:
    scope = report["scope"]
    if scope.get("all"):
        words = "all runs"
    elif "sample" in scope:
        words = f"a sample of {scope['sample']} runs"
    else:
        words = f"{scope.get('runs', '?')} runs by id"
    started = f"{report['started_at']:%Y-%m-%d %H:%M} UTC"
    verdict = _verdict(report)
    fields = (report["id"], started, words, report.get("outputs_on_disk", ""), verdict)
    return Row(fields, f"#{report['id']}", f"{started}, {words} of {scope['root']}", verdict)


def _verdict(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"could not prove anything: {report['error']}"
    if report["finished_at"] is None:
        return "not finished"
    counts = ", ".join(f"{count:,} {word}" for word, count in report.get("verdicts", {}).items())
    return f"{'balanced' if report['balanced'] else 'NOT BALANCED'}: {counts}"
