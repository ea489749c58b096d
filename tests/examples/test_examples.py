"""The README of the examples is true: it is the promise that `make backfill` keeps on a fresh machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from shared.ids import Stage


def _mapped(outcomes: Mapping[str, Mapping[int, Any]]) -> list[Any]:
    return [
        outcome.mapped for stages in outcomes.values() for outcome in stages.values() if outcome.mapped is not None
    ]


def test_the_readme_lists_every_run_and_no_other(claims: Any, outcomes: Any) -> None:
    assert sorted(claims) == sorted(outcomes)


def test_each_run_has_the_applied_stages_that_the_readme_says(claims: Any, outcomes: Any) -> None:
    for run_id, stages in outcomes.items():
        applied = tuple(stage for stage, outcome in stages.items() if outcome.mapped is not None)
        assert applied == claims[run_id].applied, run_id


def test_each_run_has_the_gaps_that_the_readme_says(claims: Any, outcomes: Any) -> None:
    for run_id, stages in outcomes.items():
        counted = Counter(
            f"{stage}: {gap.kind}"
            for stage, outcome in stages.items()
            if outcome.mapped
            for gap in outcome.mapped.gaps
        )
        assert tuple(sorted(f"{gap} ×{count}" for gap, count in counted.items())) == claims[run_id].gaps, run_id


def test_each_malformed_output_has_the_reason_that_the_readme_says(claims: Any, outcomes: Any) -> None:
    for run_id, stages in outcomes.items():
        dead = tuple(f"{stage}: {outcome.reason}" for stage, outcome in stages.items() if outcome.reason)
        assert dead == claims[run_id].dead_letters, run_id


def test_the_readme_quotes_every_gap_in_the_mappings_own_words(readme: str, outcomes: Any) -> None:
    block = re.search(r"^```gaps\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block is not None
    said = {
        f"{run_id} stage {stage}: {gap.text}"
        for run_id, stages in outcomes.items()
        for stage, outcome in stages.items()
        if outcome.mapped
        for gap in outcome.mapped.gaps
    }
    assert set(block[1].splitlines()) == said


def test_the_readmes_sums_are_right(readme: str, outcomes: Any) -> None:
    mapped = _mapped(outcomes)
    outputs = sum(len(stages) for stages in outcomes.values())
    gaps = sum(len(output.gaps) for output in mapped)
    assert (
        f"{len(outcomes)} run folders hold {outputs} stage outputs. {len(mapped)} of them become rows, "
        f"{outputs - len(mapped)} wait as dead letters, and {gaps} gaps are named."
    ) in readme
    reports = sum(output.report is not None for output in mapped)
    cards = sum(len(output.cards) for output in mapped)
    assert (
        f"{len(outcomes)} `Run`, {reports} `InspirationReport`, {cards} `OpportunityCard`, "
        f"{len(mapped)} `StageOutput`."
    ) in readme


def test_no_malformed_stage_has_a_malformed_neighbour(outcomes: Any) -> None:
    """Each malformed one shows that it holds nothing else of its run back."""
    for stages in outcomes.values():
        assert sum(outcome.reason is not None for outcome in stages.values()) <= 1


def test_the_malformed_ones_differ_in_reason_and_stage(outcomes: Any) -> None:
    faults = [
        (stage, outcome.reason)
        for stages in outcomes.values()
        for stage, outcome in stages.items()
        if outcome.reason
    ]
    assert (
        len({stage for stage, _ in faults}) == len({reason for _, reason in faults}) == len(faults) == len(Stage)
    )


def test_the_selected_track_comes_first(outcomes: Any) -> None:
    report = outcomes["quiet-hours-pellwood-pharmacy-20251009-084512"][1].mapped.report
    assert report.inspiration1_title == "The waiting room that shrank"
    assert report.inspiration2_title == "The hour without music"


def test_decorated_headings_lead_to_the_right_columns(outcomes: Any) -> None:
    cards = outcomes["quiet-hours-pellwood-pharmacy-20251009-084512"][5].mapped.cards
    first, fifth = cards[0], cards[4]
    assert first.tagline == "One hour in which nothing beeps."
    assert first.problem.startswith("People who are easily overwhelmed")
    assert first.why_now.startswith("- Scanners can be muted")
    assert first.target_segment.startswith("Patients with sensory needs")
    assert "# of buzzers out, # of buzzers back early" in fifth.solution


def test_cards_keep_their_language_and_their_lines(outcomes: Any) -> None:
    japanese = outcomes["machi-no-honbako-kumomori-chaho-20251014-101500"][5].mapped.cards
    arabic = outcomes["ramadan-evenings-dar-al-rutab-20251016-201145"][5].mapped.cards
    assert japanese[0].title == "急須二杯分の読書"
    assert japanese[0].problem == "駅前には座れる場所がない。\n喫茶店は高く、公園は寒い。"
    assert arabic[0].solution.splitlines()[1:] == ["- محطة القطار", "- المستشفى", "- الجامعة"]


def test_what_the_rows_cant_give_back_is_kept(outcomes: Any) -> None:
    run = outcomes["ramadan-evenings-dar-al-rutab-20251016-201145"]
    assert [document.name for document in run[2].mapped.kept_documents] == ["sources.json", "trends.json"]
    assert [document.name for document in run[3].mapped.kept_documents] == ["notes.json"]


def test_the_summary_beside_other_cards_is_no_second_set(outcomes: Any) -> None:
    titles = [card.title for card in outcomes["test-run-002"][5].mapped.cards]
    assert titles == ["Tent No. 7", "The Honest Tag", "Bench Hours", "Second Summit", "The Twice-a-Year Catalogue"]
