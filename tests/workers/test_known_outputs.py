"""Outputs that the ledger held when they were published: a hint that saves work, and never decides anything."""

from __future__ import annotations

from typing import Any

import pytest
from writing_bench import BROKEN, Bench, at, cards, inspirations, judged, outputs, trends

from shared.contract import StageOutputsMessage
from shared.dead_letters.evidence import output_of, payload_of
from shared.ids import Stage
from shared.verdicts import Verdict
from workers import stage_fold
from workers.commit_stats import CommitStats


def known(message: StageOutputsMessage) -> StageOutputsMessage:
    marked = tuple(body.model_copy(update={"known": True}) for body in message.outputs)
    return message.model_copy(update={"outputs": marked})


RUN = outputs("run-a", (1, inspirations(), 0), (2, trends(), 0), (5, cards(), 0))


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The stages that were mapped."""
    found: list[Any] = []
    real = stage_fold.map_output

    def counted(run_id: Any, stage: Any, documents: Any) -> Any:
        found.append(stage)
        return real(run_id, stage, documents)

    monkeypatch.setattr(stage_fold, "map_output", counted)
    return found


def test_a_known_duplicate_is_told_by_its_hash_and_not_mapped(bench: Bench, mapped: list[Any]) -> None:
    bench.write(RUN)
    assert mapped == [1, 2, 5]
    versions = bench.rows('SELECT id, xmin::text FROM "StageOutput" ORDER BY id')
    assert bench.write(known(RUN)) == [dict.fromkeys((1, 2, 5), "duplicate")]
    assert mapped == [1, 2, 5]
    assert bench.rows('SELECT id, xmin::text FROM "StageOutput" ORDER BY id') == versions


def test_a_known_output_whose_rows_are_gone_comes_back(bench: Bench) -> None:
    bench.write(RUN)
    bench.execute('DELETE FROM "OpportunityCard" WHERE number = 3')
    assert bench.write(known(RUN)) == [{1: "duplicate", 2: "duplicate", 5: "applied"}]
    assert bench.rows('SELECT count(*) FROM "OpportunityCard"')[0]["count"] == 5


def test_a_known_output_that_was_overtaken_is_judged_like_any_other(bench: Bench) -> None:
    bench.write(RUN)
    bench.write(outputs("run-a", (2, trends("later"), 60)))
    assert bench.write(known(RUN)) == [{1: "duplicate", 2: "superseded", 5: "duplicate"}]
    bench.execute("DELETE FROM runferry.ledger")
    assert bench.write(known(RUN)) == [{1: "applied", 2: "conflict", 5: "applied"}]


def test_a_lie_about_a_malformed_output_changes_nothing(bench: Bench) -> None:
    lie = known(outputs("run-a", (1, BROKEN, 0), (2, trends(), 0)))
    assert bench.write(lie) == [{1: "dead_lettered", 2: "applied"}]
    (letter,) = bench.rows("SELECT reason, produced_at, payload FROM runferry.dead_letter")
    assert (letter["reason"], letter["produced_at"]) == ("not_json", at(0))
    # Else a dry run of its replay would believe it, and call it one that passes.
    assert letter["payload"] == payload_of(lie.outputs[0])
    assert output_of(letter["payload"]).known is None


def test_such_a_lie_is_counted_by_its_own_reason() -> None:
    stats = CommitStats()
    lie = judged(known(outputs("run-a", (1, BROKEN, 0))))
    stats.committed([lie], [{Stage.INSPIRATIONS: Verdict.DEAD_LETTERED}], 0.1)
    assert stats.dead == {"not_json": 1}
