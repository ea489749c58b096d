"""The story of one run: everything that kept a time of it, in order."""

from __future__ import annotations

from proof_bench import Proof

from ops.trace.command import trace


def test_the_story_is_told_in_order_of_time(proof: Proof) -> None:
    proof.tree(1)
    proof.malformed()
    with proof.worker():
        proof.backfill()
        proof.execute(
            """UPDATE "OpportunityCard" SET title = 'Mine', "updatedAt" = timezone('UTC', now()) WHERE number = 2"""
        )
        proof.reconcile()
    told = proof.invoke(trace, "run-000", "--json").json
    assert told["run_id"] == "run-000"
    events = [(event["what"], event["stage"]) for event in told["events"]]
    assert [event["at"] for event in told["events"]] == sorted(event["at"] for event in told["events"])
    assert events[:5] == [("on disk", stage) for stage in range(1, 6)]
    assert {"published", "handled", "committed", "letter #1 died", "changed in the web app"} <= {
        what for what, _ in events
    }
    assert ("report #1: edited", 5) in events
    assert ("report #1: dead_lettered", 2) in events
    assert [(one["stage"], one["verdict"]) for one in told["now"]] == [
        (1, "match"),
        (2, "dead_lettered"),
        (3, "match"),
        (4, "match"),
        (5, "edited"),
    ]
    text = proof.invoke(trace, "run-000").stdout
    assert "OpportunityCard[2]" in text
    assert "letter #1 died" in text


def test_an_unknown_run_is_said_to_be_unknown(proof: Proof) -> None:
    ended = proof.invoke(trace, "run-999")
    assert (ended.status, ended.stdout) == (2, "")
    assert "Nothing is known of 'run-999'" in ended.stderr
