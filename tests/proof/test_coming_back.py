"""What was answered once and comes back later is a fault again: nothing old speaks for a newer file."""

from __future__ import annotations

from pathlib import Path

import pytest
from proof_bench import OLD_S, Proof

from ops.dlq.edit import edit_letter as edit

RUN = "run-000"
BROKEN = '{"trends": [broken'
DAY_S = 86_400


def test_a_malformed_output_that_comes_back_after_its_answer_is_malformed(migrated: Proof) -> None:
    """Its letter was answered by an output that is older than the file is now."""
    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + DAY_S)
    migrated.backfill()
    migrated.write(RUN, 2, "trends.json", '{"trends": ["mended"]}', at_s=OLD_S + 2 * DAY_S)
    assert migrated.backfill().status == 0
    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + 3 * DAY_S)

    ended = migrated.reconcile()
    assert (ended.status, ended.verdicts) == (1, {"match": 14, "malformed": 1})

    # Older than the rows, it was answered by them.
    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + DAY_S)
    assert migrated.reconcile().verdicts == {"match": 14, "superseded": 1}

    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + 3 * DAY_S)
    migrated.backfill()
    assert migrated.fetch("SELECT state FROM runferry.dead_letter") == [{"state": "open"}]
    assert migrated.reconcile().verdicts == {"match": 14, "dead_lettered": 1}


def test_what_was_mended_counts_as_mended_only_while_its_copy_is_applied(
    migrated: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + DAY_S)
    migrated.backfill()
    (letter,) = migrated.fetch("SELECT id FROM runferry.dead_letter")
    monkeypatch.setenv("EDITOR", "sed -i 's/.broken/[1]}/'")
    assert migrated.invoke(edit, letter["id"], "--yes", "--wait").status == 0
    assert migrated.reconcile().verdicts == {"match": 14, "mended": 1}

    migrated.write(RUN, 2, "trends.json", '{"trends": ["newer"]}', at_s=OLD_S + 2 * DAY_S)
    migrated.backfill()
    assert migrated.reconcile().verdicts == {"match": 15}
    migrated.write(RUN, 2, "trends.json", BROKEN, at_s=OLD_S + 3 * DAY_S)

    assert migrated.reconcile().verdicts == {"match": 14, "malformed": 1}
    migrated.backfill()
    assert (
        migrated.fetch("SELECT state FROM runferry.dead_letter WHERE id = $1", letter["id"])[0]["state"] == "open"
    )
    assert migrated.reconcile().verdicts == {"match": 14, "dead_lettered": 1}


def test_a_link_to_a_hidden_folder_is_a_run(migrated: Proof) -> None:
    """As it is where whole run folders are swapped by a link from one version to the next."""
    migrated.run("run-hidden")
    (migrated.root / "run-hidden").rename(migrated.root / ".run-hidden.v2")
    (migrated.root / "run-hidden").symlink_to(Path(".run-hidden.v2"))

    assert migrated.reconcile().verdicts == {"match": 15, "missing": 5}
    migrated.backfill()
    assert migrated.reconcile().verdicts == {"match": 20}
