"""Shares of a root: together they are all runs, each once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.run_folders.scanner import Scanner
from shared.run_folders.share import Share
from shared.run_folders.stage_folder import Limits


@given(st.text(max_size=20).map(lambda text: f"run-{text}".replace("\0", "").replace("/", "")), st.integers(1, 40))
def test_every_name_is_in_exactly_one_share(name: str, of: int) -> None:
    name = name.encode("utf-8", "ignore").decode()
    assert sum(Share(number, of).takes(name) for number in range(1, of + 1)) == 1


def test_a_name_is_in_the_same_share_on_every_host_and_in_every_version() -> None:
    shares = {
        name: next(n for n in (1, 2, 3) if Share(n, 3).takes(name)) for name in ("test-run-001", "run-ü", "a")
    }
    assert shares == {"test-run-001": 2, "run-ü": 1, "a": 1}


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "-1/3", "1/3/5", "1.5/3", "1/ 3"])
def test_what_is_no_share_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match="write the second of three as 2/3"):
        Share.parse(text)


def test_the_scanner_reads_and_counts_its_share_alone(tree: Any) -> None:
    for number in range(60):
        tree.write(f"run-{number}", {"stage2/trends.json": "{}"})
    seen: list[str] = []
    for number in (1, 2, 3):
        scanner = Scanner(tree.root, Limits(0.0, 2**20), share=Share(number, 3))
        names = [run.run_id for run in scanner.runs()]
        assert scanner.count() == len(names) > 5
        seen += names
    assert sorted(seen) == sorted(f"run-{number}" for number in range(60))


def test_producers_with_a_share_each_publish_every_run_once(tree: Any, backfill: Any, worker: Any) -> None:
    for number in range(40):
        tree.write(f"run-{number}", {"stage2/trends.json": "{}"})
    worker.start()
    ended = [backfill("--all", "--share", f"{number}/2", "--wait", "--json") for number in (1, 2)]
    assert [each.status for each in ended] == [0, 0]
    assert all(each.json["runs"] for each in ended)
    assert sum(each.json["applied"] for each in ended) == 40
    assert sorted(message["run_id"] for message in worker.messages) == sorted(f"run-{n}" for n in range(40))


def test_a_share_of_named_runs_is_refused(tree: Any, backfill: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}"})
    ended = backfill("--run-id", "run-1", "--share", "1/2")
    assert ended.status == 2
    assert "leave it out where runs are named" in ended.stderr


def test_a_share_that_is_none_is_refused(tree: Any, backfill: Any) -> None:
    ended = backfill("--all", "--share", "3/2")
    assert ended.status == 2
    assert "write the second of three as 2/3" in ended.stderr
