"""Fingerprints group equal failures."""

from __future__ import annotations

from shared.dead_letters.fingerprint import fingerprint, normalised
from shared.reasons import Reason


def of(text: str, *, reason=Reason.NOT_JSON, stage=1, document="opportunity-1.md", run_id="run-1"):
    return fingerprint(reason, "Malformed", text, stage, document, run_id)


def test_equal_failures_of_different_outputs_are_one_group():
    assert of("run-1: line 3, column 14: found 'a' in opportunity-1.md", run_id="run-1") == of(
        "run-77: line 9, column 1: found 'it\\'s' in opportunity-4.md",
        run_id="run-77",
        document="opportunity-4.md",
    )


def test_another_reason_stage_or_text_is_another_group():
    groups = {
        of("bad"),
        of("worse"),
        of("bad", reason=Reason.JSON_SHAPE),
        of("bad", stage=2),
        of("bad", document="a.json"),
    }
    assert len(groups) == 5


def test_what_differs_between_equal_failures_is_taken_out():
    text = 'The key "title" of 3f2b8c1e-0000-4000-8000-123456789abc has 1,024  characters\nat 0xdeadbeefdead'
    assert normalised(text) == "The key ‹name› of ‹id› has ‹number› characters at ‹id›"
