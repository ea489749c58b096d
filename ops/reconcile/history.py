"""History: the reports so far, and one of them again. Those that nobody waited for are finished first."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import asyncpg
import orjson

from ops.dlq.database import with_database
from ops.dlq.tables import Row, print_rows
from ops.reconcile.finishing import finish_reports
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.queries import QUERIES
from ops.reconcile.report import again, exit_status, text
from ops.reconcile.tally import Tally
from shared.broker.broker import make_broker
from shared.command import DONE, print_json, print_lines, say
from shared.counting import counted
from shared.errors import QueueAway, UsageError
from shared.settings import Settings
from shared.stores import Stores

_REPORTS = 50


def show_history(settings: Settings, *, as_json: bool) -> int:
    """Print the last reports, newest first."""

    async def read(connection: asyncpg.Connection, stores: Stores) -> list[Any]:
        await _finish(connection, stores, settings)
        return list(await connection.fetch(QUERIES["history"], _REPORTS))

    reports = [_report(row) for row in with_database(settings, read)]
    if as_json:
        print_json(reports)
    elif not reports:
        say("There is no report yet; make one with: ops reconcile --all")
    else:
        print_rows(map(_row, reports))
    return DONE


def show_report(report_id: int, settings: Settings, *, as_json: bool) -> int:
    """Print one report as it was kept, and return its exit status; raises UsageError where it proves nothing."""

    async def read(connection: asyncpg.Connection, stores: Stores) -> tuple[Any, str | None]:
        waiting = await _finish(connection, stores, settings, report_id)
        return await connection.fetchrow(QUERIES["report"], report_id), waiting.get(report_id)

    row, waits = with_database(settings, read)
    if row is None:
        raise UsageError(f"There is no report #{report_id}; list them with: ops reconcile --history")
    if row["finished_at"] is None:
        raise UsageError(f"Report #{report_id} is not finished: {waits or 'it is being made'}.")
    report = orjson.loads(row["report"])
    if "error" in report:
        raise UsageError(f"Report #{report_id} could not prove anything: {report['error']}")
    with closing(Tally()) as tally:
        options, ending = again(orjson.loads(row["scope"]), report, tally)
        if as_json:
            print_json(report)
        else:
            print_lines(text(options, tally, ending))
        return exit_status(options, tally, ending)


async def _finish(
    connection: asyncpg.Connection, stores: Stores, settings: Settings, report_id: int | None = None
) -> Mapping[int, str]:
    """Finish what can be finished, and return why other reports can't be; Redis is needed only for that."""
    if not await connection.fetch(QUERIES["unfinished"], report_id):
        return {}
    broker = make_broker(stores.redis_url, settings)
    try:
        with ReconcileProgress() as progress:
            return await finish_reports(
                connection,
                broker,
                settings,
                progress,
                report_id,
                keeps_locks=not stores.database.transaction_pooler,
            )
    except QueueAway as away:
        say(f"Unfinished reports stay so, because Redis is away: {away}")
        return {}
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
        user = stores.database.user
        say(f"Unfinished reports stay so, because the role {user!r} may only read: {error}.")
        return {} if report_id is None else {report_id: f"the role {user!r} may not end it; look as one that may"}
    finally:
        broker.close()


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
        words = f"a sample of {counted(scope['sample'], 'run')}"
    else:
        words = f"{counted(scope['runs'], 'run') if 'runs' in scope else '? runs'} by id"
    started = f"{report['started_at']:%Y-%m-%d %H:%M} UTC"
    verdict = _verdict(report)
    fields = (report["id"], started, words, report.get("outputs_on_disk", ""), verdict)
    return Row(fields, f"#{report['id']}", f"{started}, {words} of {scope['root']}", verdict)


def _verdict(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"could not prove anything: {report['error']}"
    if report["finished_at"] is None:
        left = report.get("left")
        asked = "" if left is None else f"; {counted(left['slices'], 'slice was', 'slices were')} asked"
        return f"not finished{asked}"
    counts = ", ".join(f"{count:,} {word}" for word, count in report.get("verdicts", {}).items())
    if not report["balanced"]:
        return f"NOT BALANCED: {counts}"
    return f"{'balanced and final' if report.get('final') else 'balanced'}: {counts}"
