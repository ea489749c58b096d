"""The scanner finds exactly the outputs, and names what it can't read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.documents import Document
from shared.errors import UsageError
from shared.ids import Stage
from shared.run_folders import stage_folder
from shared.run_folders.folders import Folder
from shared.run_folders.scanned import FaultKind, ScannedRun


def by_id(runs: Iterator[ScannedRun]) -> dict[str, ScannedRun]:
    return {run.run_id: run for run in runs}


def only_fault(run: ScannedRun) -> Any:
    assert len(run.faults) == 1, run
    return run.faults[0]


def test_a_run_comes_with_its_outputs_in_natural_order(tree: Any) -> None:
    names = ["opportunity-10.md", "opportunity-2.md", "opportunity-1.md", "opportunities-summary.md"]
    tree.write("run-1", {f"stage5/{name}": name for name in names} | {"stage2/trends.json": "{}"})
    (run,) = tree.scanner().runs()
    assert [output.stage for output in run.outputs] == [Stage.TRENDS, Stage.OPPORTUNITIES]
    assert [document.name for document in run.outputs[1].documents] == [
        "opportunities-summary.md",
        "opportunity-1.md",
        "opportunity-2.md",
        "opportunity-10.md",
    ]
    assert run.outputs[0].documents == (Document("trends.json", b"{}"),)
    assert run.stages_at_source == (Stage.TRENDS, Stage.OPPORTUNITIES)


def test_produced_at_is_the_newest_document_in_utc_to_the_microsecond(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/a.md": "a", "stage2/b.md": "b"})
    os.utime(run / "stage2/a.md", ns=(0, 1_700_000_000_123_456_789))
    (scanned,) = tree.scanner().runs()
    assert scanned.outputs[0].produced_at == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)


def test_what_is_no_output_is_ignored_without_noise(tree: Any) -> None:
    files = {
        "stage2/trends.json": "{}",
        "stage2/.trends.json.swp": "x",
        "stage2/.hidden.md": "x",
        "stage2/._trends.json": "x",
        "stage2/~$trends.md": "x",
        "stage2/trends.json~": "x",
        "stage2/#trends.json#": "x",
        "stage2/trends.json.bak": "x",
        "stage2/notes.txt": "x",
        "stage2/folder.md/deep.md": "x",
        "stage2/.DS_Store": "x",
        "stage6/a.md": "x",
        "stage12/a.md": "x",
        "Stage1/a.md": "x",
        "logs/a.md": "x",
        "a.md": "x",
    }
    tree.write("run-1", files)
    (tree.root / "batch-summary.md").write_text("x")
    (tree.root / ".git").mkdir()
    (run,) = tree.scanner().runs()
    assert [(o.stage, [d.name for d in o.documents]) for o in run.outputs] == [(Stage.TRENDS, ["trends.json"])]
    assert (run.faults, run.unsettled) == ((), ())


def test_a_stage_that_is_a_file_and_a_named_pipe_are_no_outputs(tree: Any) -> None:
    run = tree.write("run-1", {"stage1": "x", "stage2/trends.json": "{}"})
    os.mkfifo(run / "stage2/pipe.md")
    tree.age(run)
    (scanned,) = tree.scanner().runs()
    assert [output.stage for output in scanned.outputs] == [Stage.TRENDS]


def test_an_empty_document_is_sent_like_any_other(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": b""})
    (run,) = tree.scanner().runs()
    assert run.outputs[0].documents == (Document("trends.json", b""),)


def test_an_empty_run_and_empty_stages_are_a_run_without_outputs(tree: Any) -> None:
    (tree.root / "run-1/stage1").mkdir(parents=True)
    (run,) = tree.scanner().runs()
    assert (run.outputs, run.unsettled, run.faults, run.stages_at_source) == ((), (), (), ())


@pytest.mark.parametrize(
    ("name", "nearly"),
    [
        *((name, True) for name in ("Stage3", "STAGE3", "stage03", "Stage 3", "stage-3", "stage_3", "stages3")),
        *((name, True) for name in ("stage0", "stage6", "stage10", "stage3 ", "stage３")),
        *(
            (name, False)
            for name in ("stage3", "logs", "stage", "backstage3", "stage3.bak", ".stage3", "stage3-old")
        ),
    ],
)
def test_a_folder_that_is_named_nearly_as_a_stage_is_passed_over_and_told(
    tree: Any, name: str, nearly: bool
) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}", f"{name}/lessons.json": "{}"})
    (run,) = tree.scanner().runs()
    assert run.passed_over == ((name,) if nearly else ())
    stages = [Stage.TRENDS, Stage.LESSONS] if name == "stage3" else [Stage.TRENDS]
    assert [output.stage for output in run.outputs] == stages


def test_a_document_that_is_named_nearly_as_a_stage_is_no_folder(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}", "Stage3": "x"})
    (run,) = tree.scanner().runs()
    assert run.passed_over == ()


def test_a_root_that_does_not_exist_is_one_clear_sentence(tree: Any) -> None:
    tree.root.rmdir()
    with pytest.raises(UsageError, match=r"does not exist.*--root"):
        list(tree.scanner().runs())


def test_a_large_output_is_named_and_never_read(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}", "stage4/context.json": "{}"})
    with (run / "stage2/huge.json").open("wb") as huge:
        huge.truncate(100 << 20)
    os.utime(run / "stage2/huge.json", (0, 0))
    tree.age(run)
    (scanned,) = tree.scanner().runs()
    fault = only_fault(scanned)
    assert (fault.kind, fault.stage) == (FaultKind.TOO_LARGE, Stage.TRENDS)
    assert "huge.json has 104,857,600" in fault.reason
    assert [output.stage for output in scanned.outputs] == [Stage.CONTEXT]
    assert scanned.stages_at_source == (Stage.TRENDS, Stage.CONTEXT)


def test_a_link_out_of_the_root_is_never_followed(tree: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "stage1").mkdir(parents=True)
    (outside / "stage1/secret.md").write_text("secret")
    (tree.root / "run-out").symlink_to(outside)
    run = tree.write("run-1", {"stage2/trends.json": "{}"})
    (run / "stage1").symlink_to(outside / "stage1")
    run = tree.write("run-2", {"stage2/trends.json": "{}"})
    (run / "stage2/secret.md").symlink_to(outside / "stage1/secret.md")
    runs = by_id(tree.scanner(settle_s=0).runs())
    assert only_fault(runs["run-out"]).kind is FaultKind.OUTSIDE_ROOT
    assert (only_fault(runs["run-1"]).kind, only_fault(runs["run-1"]).stage) == (FaultKind.OUTSIDE_ROOT, Stage(1))
    assert "stage1 is a link out of the root" in only_fault(runs["run-1"]).reason
    assert [output.stage for output in runs["run-1"].outputs] == [Stage.TRENDS]
    assert "stage2/secret.md is a link out of the root" in only_fault(runs["run-2"]).reason
    assert runs["run-2"].outputs == ()


def test_a_link_that_stays_in_the_root_is_followed(tree: Any) -> None:
    store = tree.write("store/run-1", {"stage2/trends.json": "{}", "stage3/lessons.json": "{}"})
    (tree.root / "run-1").symlink_to(store)
    run = tree.write("run-2", {"stage2/trends.json": "{}"})
    (run / "stage3").symlink_to(store / "stage3")
    (run / "stage2/more.json").symlink_to(store / "stage3/lessons.json")
    runs = by_id(tree.scanner(settle_s=0).runs())
    assert len(runs["run-1"].outputs) == 2
    assert [len(output.documents) for output in runs["run-2"].outputs] == [2, 1]


def test_a_link_to_another_run_is_no_second_run(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}"})
    (tree.root / "latest").symlink_to("run-1")
    runs = by_id(tree.scanner().runs())
    assert (runs["latest"].alias_of, runs["latest"].outputs) == ("run-1", ())
    (named,) = tree.scanner().named(["latest"])
    assert "run-1" in only_fault(named).reason


def test_loops_and_dangling_links_are_named(tree: Any) -> None:
    (tree.root / "loop").symlink_to("loop")
    (tree.root / "nowhere").symlink_to("gone")
    run = tree.write("run-1", {"stage2/trends.json": "{}"})
    (run / "stage1").symlink_to("stage1")
    (run / "stage3").symlink_to("../run-9/stage3")
    runs = by_id(tree.scanner(settle_s=0).runs())
    assert "link loop" in only_fault(runs["loop"]).reason
    assert "leads nowhere" in only_fault(runs["nowhere"]).reason
    assert [(fault.kind, fault.stage) for fault in runs["run-1"].faults] == [
        (FaultKind.LINK, Stage(1)),
        (FaultKind.LINK, Stage(3)),
    ]
    assert [output.stage for output in runs["run-1"].outputs] == [Stage.TRENDS]


def test_names_that_are_no_run_ids_are_named_and_hold_nobody_back(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}"})
    (tree.root / os.fsdecode(b"caf\xe9") / "stage1").mkdir(parents=True)
    (tree.root / "two\nlines").mkdir()
    runs = by_id(tree.scanner().runs())
    assert sorted(runs) == ["caf\\xe9", "run-1", "two\\nlines"]
    assert "UTF-8" in only_fault(runs["caf\\xe9"]).reason
    assert "control character" in only_fault(runs["two\\nlines"]).reason
    assert len(runs["run-1"].outputs) == 1


def test_a_document_whose_name_is_not_utf8_makes_its_stage_unreadable(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}", "stage3/lessons.json": "{}"})
    (run / "stage2" / os.fsdecode(b"caf\xe9.md")).write_text("x")
    (scanned,) = tree.scanner(settle_s=0).runs()
    assert "caf\\xe9.md" in only_fault(scanned).reason
    assert [output.stage for output in scanned.outputs] == [Stage.LESSONS]


def test_named_runs_come_once_each_and_missing_ones_with_a_fault(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}"})
    runs = list(tree.scanner().named(["run-1", "run-2", "run-1", "../runs/run-1", "a\nb", ""]))
    assert [run.run_id for run in runs] == ["run-1", "run-2", "../runs/run-1", "a\\nb", ""]
    assert [[fault.kind for fault in run.faults] for run in runs] == [
        [],
        [FaultKind.NOT_FOUND],
        [FaultKind.NAME],
        [FaultKind.NAME],
        [FaultKind.NAME],
    ]


@pytest.fixture
def as_ordinary_user(tmp_path: Path) -> Iterator[None]:
    """Root may read everything, so the claim is only testable as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    for folder in [tmp_path, *tmp_path.parents]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_named_and_holds_nobody_back(tree: Any, request: pytest.FixtureRequest) -> None:
    secret = tree.write("run-1", {"stage2/trends.json": "{}"})
    half = tree.write("run-2", {"stage1/a.md": "a", "stage2/trends.json": "{}", "stage3/lessons.json": "{}"})
    (half / "stage1").chmod(0)
    (half / "stage2/trends.json").chmod(0)
    secret.chmod(0)
    request.getfixturevalue("as_ordinary_user")
    runs = by_id(tree.scanner(settle_s=0).runs())
    assert "Permission denied" in only_fault(runs["run-1"]).reason
    assert [(fault.kind, fault.stage) for fault in runs["run-2"].faults] == [
        (FaultKind.UNREADABLE, Stage(1)),
        (FaultKind.UNREADABLE, Stage(2)),
    ]
    assert [output.stage for output in runs["run-2"].outputs] == [Stage.LESSONS]


def after_reading(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], times: int) -> None:
    """Let `change` happen after each of the first documents was read."""
    read = stage_folder._content
    left = [times]

    def reading(folder: Folder, stage: Stage, entry: Any) -> bytes:
        content = read(folder, stage, entry)
        if left[0]:
            left[0] -= 1
            change()
        return content

    monkeypatch.setattr(stage_folder, "_content", reading)


@pytest.mark.parametrize("change", ["replaced", "rewritten", "added", "removed"])
def test_what_changes_while_it_is_read_is_read_again(
    tree: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    stage = tree.write("run-1", {"stage2/a.md": "old", "stage2/b.md": "old"}) / "stage2"

    def replaced() -> None:
        (stage / "new").write_text("new")
        (stage / "new").rename(stage / "a.md")

    changes = {
        "replaced": replaced,
        "rewritten": lambda: (stage / "a.md").write_text("longer"),
        "added": lambda: (stage / "c.md").write_text("new"),
        "removed": lambda: (stage / "b.md").unlink(missing_ok=True),
    }
    after_reading(monkeypatch, changes[change], times=1)
    (run,) = tree.scanner(settle_s=0).runs()
    assert [(d.name, d.content.decode()) for d in run.outputs[0].documents] == {
        "replaced": [("a.md", "new"), ("b.md", "old")],
        "rewritten": [("a.md", "longer"), ("b.md", "old")],
        "added": [("a.md", "old"), ("b.md", "old"), ("c.md", "new")],
        "removed": [("a.md", "old")],
    }[change]


def test_what_never_stops_changing_is_unsettled_and_never_torn(tree: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = tree.write("run-1", {"stage2/a.md": "old"}) / "stage2"
    sizes = iter(range(1, 1000))
    after_reading(monkeypatch, lambda: (stage / "a.md").write_text("x" * next(sizes)) and None, times=1000)
    (run,) = tree.scanner(settle_s=0).runs()
    assert run.outputs == ()
    assert "changed while it was read" in run.unsettled[0].reason


def test_a_fresh_output_is_unsettled_and_its_old_neighbours_are_not(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}", "stage3/lessons.json": "{}"})
    (run / "stage3/lessons.json").write_text("{...")
    (scanned,) = tree.scanner().runs()
    assert [output.stage for output in scanned.outputs] == [Stage.TRENDS]
    assert [part.stage for part in scanned.unsettled] == [Stage.LESSONS]
    assert scanned.stages_at_source == (Stage.TRENDS, Stage.LESSONS)


def test_a_folder_that_just_lost_or_got_a_name_is_unsettled(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}", "stage2/more.json": "{}"})
    (run / "stage2/more.json").unlink()
    (scanned,) = tree.scanner().runs()
    assert [part.stage for part in scanned.unsettled] == [Stage.TRENDS]


def test_an_intent_manifest_makes_a_stage_unsettled_however_old_it_is(tree: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{}", "stage2/.runferry-intent.json": "{}"})
    (run,) = tree.scanner(settle_s=0).runs()
    assert "stage store" in run.unsettled[0].reason


def test_a_time_in_the_future_is_not_unsettled_for_ever(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}"}, at_s=4_000_000_000)
    changed_s = (run / "stage2").stat().st_ctime
    (early,) = tree.scanner(wall_clock_s=lambda: changed_s + 5).runs()
    (late,) = tree.scanner(wall_clock_s=lambda: changed_s + 11).runs()
    assert (len(early.unsettled), len(early.outputs)) == (1, 0)
    assert (len(late.unsettled), len(late.outputs)) == (0, 1)


def test_an_output_that_was_watched_for_long_enough_has_settled_whatever_its_times_say(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}"}, at_s=4_000_000_000)
    # The file system's clock is a day ahead of ours.
    clocks = {"wall_clock_s": lambda: run.stat().st_ctime - 86_400, "monotonic_s": lambda: now_s[0]}
    now_s = [100.0]
    scanner = tree.scanner(**clocks)
    (first,) = scanner.runs()
    assert first.unsettled[0].ready_at_s == 110.0
    now_s[0] = 109.0
    second = scanner.again(first.run_id, first.unsettled)
    assert len(second.unsettled) == 1
    now_s[0] = 110.0
    assert len(scanner.again(first.run_id, second.unsettled).outputs) == 1
    (run / "stage2/trends.json").write_text("{} ")
    assert len(scanner.again(first.run_id, second.unsettled).unsettled) == 1


def test_a_run_that_is_gone_when_it_is_read_again_comes_back_empty(tree: Any) -> None:
    run = tree.write("run-1", {"stage2/trends.json": "{}"})
    (run / "stage2/trends.json").write_text("{}")
    (first,) = tree.scanner().runs()
    (run / "stage2/trends.json").unlink()
    (run / "stage2").rmdir()
    run.rmdir()
    assert tree.scanner().again(first.run_id, first.unsettled) == ScannedRun(first.run_id)


def test_counting_agrees_with_reading(tree: Any) -> None:
    for number in range(20):
        tree.write(f"run-{number}", {"stage2/trends.json": "{}"})
    (tree.root / "readme.md").write_text("x")
    (tree.root / ".hidden").mkdir()
    scanner = tree.scanner()
    assert scanner.count() == len(list(scanner.runs())) == 20
