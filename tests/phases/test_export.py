"""Export: rows back into files, from which the same rows come again."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from real_workers import REPOSITORY, Site
from writing_bench import Bench

from ops.backup import progress
from ops.command import main
from ops.export import exporting
from producers import StageStore
from shared.contract import Hints, Origin, OutputBody, StageOutputsMessage
from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Phase

#: Every shape that there is; the malformed ones become no rows.
EXAMPLES = REPOSITORY / "examples" / "runs"


def carry(site: Site, root: Path) -> int:
    """Write all outputs below a root to the rows as a backfill of them does; returns how many became rows."""
    messages = []
    for run in Scanner(root, Limits(0, 1 << 30)).runs():
        messages.append(
            StageOutputsMessage(
                run_id=run.run_id,
                publisher="test",
                published_at=datetime.now(UTC),
                origin=Origin.BACKFILL,
                batch_id="batch",
                outputs=tuple(OutputBody.of(part.stage, part.documents, part.produced_at) for part in run.outputs),
                hints=Hints(stages_at_source=run.stages_at_source),
            )
        )
    verdicts = Bench(DatabaseAddress.parse(site.database_url).dsn).write(*messages)
    return sum(verdict == "applied" for one in verdicts for verdict in one.values())


@pytest.fixture
def backfilled(site: Site) -> Site:
    """An installation whose rows hold the example runs."""
    assert carry(site, EXAMPLES) > 20
    return site


def export(site: Site, *arguments: Any) -> Any:
    urls = ["--database-url", site.database_url, "--redis-url", site.redis_url]
    return CliRunner().invoke(main, ["export", *map(str, arguments), *urls])


def outputs(root: Path) -> dict[tuple[str, int], Any]:
    """Documents and times of all outputs below a root, JSON by value."""
    found = {}
    for run in Scanner(root, Limits(0, 1 << 30)).runs():
        for output in run.outputs:
            found[run.run_id, int(output.stage)] = (
                [(document.name, _value(document)) for document in output.documents],
                output.produced_at,
            )
    return found


def _value(document: Document) -> Any:
    try:
        return json.loads(document.content) if document.name.endswith(".json") else document.content
    except ValueError:
        return document.content


def test_what_was_backfilled_comes_back_as_it_was_with_names_and_times(backfilled: Site, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    result = export(backfilled, "--all", "--to", target, "--json")
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    exported, before = outputs(target), outputs(EXAMPLES)
    assert counts["outputs"] == counts["written"] == len(exported) > 20
    assert exported == {key: before[key] for key in exported}
    applied = backfilled.rows("SELECT run_id, stage FROM runferry.ledger")
    assert exported.keys() == {(row["run_id"], row["stage"]) for row in applied}
    again = export(backfilled, "--all", "--to", target, "--json")
    assert (json.loads(again.stdout)["written"], json.loads(again.stdout)["same"]) == (0, len(exported))


def test_from_exported_files_come_the_same_rows(backfilled: Site, tmp_path: Path) -> None:
    target = tmp_path / "exported"
    export(backfilled, "--all", "--to", target)
    before = backfilled.everything()
    backfilled.do(
        'TRUNCATE "Run", "StageOutput", "InspirationReport", "OpportunityCard", runferry.run, runferry.ledger, '
        "runferry.document, runferry.delivery, runferry.dead_letter CASCADE"
    )
    assert carry(backfilled, target) == len(outputs(target))
    after = backfilled.everything()
    for table in ("StageOutput", "InspirationReport", "OpportunityCard"):
        assert after[table] == before[table]


def test_over_an_existing_tree_only_what_differs_is_written_and_it_asks(backfilled: Site, tmp_path: Path) -> None:
    target = tmp_path / "tree"
    shutil.copytree(EXAMPLES, target)
    victim = next(iter(sorted(target.glob("*/stage2/*.md"))))
    original = victim.read_bytes()
    victim.write_text("changed")
    untouched = {path: path.stat().st_ino for path in target.rglob("*.md") if path.parent != victim.parent}
    refused = export(backfilled, "--all", "--to", target)
    assert refused.exit_code == 2
    assert "1 output in" in refused.output
    assert "differs from the rows, and is newer. Replace it?" in refused.output
    assert "--yes" in refused.output
    assert victim.read_text() == "changed"
    done = export(backfilled, "--all", "--to", target, "--yes", "--json")
    assert (done.exit_code, json.loads(done.stdout)["written"]) == (0, 1)
    assert victim.read_bytes() == original
    assert {path: path.stat().st_ino for path in untouched} == untouched


def test_one_run_is_exported_alone_and_an_unknown_one_refused(backfilled: Site, tmp_path: Path) -> None:
    run_id = backfilled.value("SELECT min(run_id) FROM runferry.ledger")
    assert export(backfilled, "--run-id", run_id, "--to", tmp_path / "one").exit_code == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == [run_id]
    unknown = export(backfilled, "--run-id", "nobody", "--to", tmp_path / "none")
    assert unknown.exit_code == 2
    assert "no run nobody" in unknown.output
    assert not (tmp_path / "none").exists()


def test_it_tells_how_far_it_is(backfilled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    ended = export(backfilled, "--all", "--to", tmp_path / "out")
    assert f"Comparing with {tmp_path / 'out'}: 1 output" in ended.stderr
    assert f"Writing to {tmp_path / 'out'}: 20 of " in ended.stderr


def test_tables_that_go_away_meanwhile_are_told_and_so_is_what_was_written(
    backfilled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporting.replace_output

    def undone(*arguments: Any) -> None:
        write(*arguments)
        with ThreadPoolExecutor(1) as aside:  # the command has a loop in this one
            aside.submit(backfilled.do, "DROP SCHEMA IF EXISTS runferry CASCADE").result()

    monkeypatch.setattr(exporting, "replace_output", undone)
    monkeypatch.setattr(exporting, "_PAGE", 2)
    ended = export(backfilled, "--all", "--to", tmp_path / "out")
    assert ended.exit_code == 2
    assert "2 outputs were written to" in ended.stderr
    assert "somebody ran `ops emergency-rollback` or `ops schema revert`" in ended.stderr
    assert "Traceback" not in ended.output


def test_what_cannot_be_given_back_is_named(backfilled: Site, tmp_path: Path) -> None:
    rows = backfilled.rows(
        "SELECT run_id FROM runferry.ledger WHERE stage = 5 AND jsonb_array_length(manifest) > 2 ORDER BY 1 LIMIT 2"
    )
    edited, foreign = (row["run_id"] for row in rows)
    backfilled.do(
        """UPDATE "StageOutput" SET "markdownOutput" = 'short' WHERE "runId" = $1 AND "stageNumber" = 5""", edited
    )
    backfilled.do("DELETE FROM runferry.ledger WHERE run_id = $1 AND stage = 5", foreign)
    result = export(backfilled, "--all", "--to", tmp_path / "out", "--json")
    assert result.exit_code == 1
    named = {(one["run_id"], one["stage"]): one["reason"] for one in json.loads(result.stdout)["unexportable"]}
    assert named.keys() == {(edited, 5), (foreign, 5)}
    assert "changed" in named[edited, 5]
    assert "adopts" in named[foreign, 5]


def test_leaving_db_only_is_possible(site: Site, stores: Any) -> None:
    site.start_worker()
    store: StageStore = stores(Phase.DB_ONLY)
    text = {"b.md": "Über\r\n", "a.json": '{"n": 1.10, "n": 2.50, "z": -0.0}', "c.json": "[1]"}
    assert store.write("run-1", 3, text).committed(60) == "committed"
    assert export(site, "--all", "--to", site.settings.root).exit_code == 0
    reconciled = site.command("ops.command", "reconcile", "--all", "--root", site.settings.root, "--json")
    assert (reconciled.status, reconciled.json["balanced"]) == (0, True), reconciled.stdout + reconciled.stderr
    read = stores(Phase.FILES_ONLY, database_url=None).read("run-1", 3)
    assert (read.source.value, read.produced_at) == ("files", store.read("run-1", 3).produced_at)
    assert {name: read.content(name).decode() for name in read.names} == text
