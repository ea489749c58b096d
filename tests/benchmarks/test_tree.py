"""The generated tree is the same everywhere, and what it claims to be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.tree import generate, run_id
from shared.documents import Document
from shared.ids import Stage, parse_run_id
from shared.mapping import map_output
from shared.settings import Settings


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_however_many_runs(tmp_path: Path) -> None:
    generate(tmp_path / "long", 6, seed=7)
    generate(tmp_path / "short", 3, seed=7)
    long, short = _contents(tmp_path / "long"), _contents(tmp_path / "short")
    assert short == {path: content for path, content in long.items() if path in short}
    assert len(short) * 2 == len(long)


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    generate(tmp_path / "one", 1, seed=1)
    generate(tmp_path / "two", 1, seed=2)
    one, two = _contents(tmp_path / "one"), _contents(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[path] != two[path] for path in one)


def test_a_run_has_about_37_kb_and_is_not_ascii(tmp_path: Path) -> None:
    tree = generate(tmp_path / "tree", 40)
    assert tree.content_bytes / tree.runs == pytest.approx(37_000, rel=0.03)
    assert any(not content.isascii() for content in _contents(tmp_path / "tree").values())


def test_every_run_maps_completely(tmp_path: Path) -> None:
    generate(tmp_path / "tree", 3)
    for number in range(3):
        for stage in Stage:
            folder = tmp_path / "tree" / run_id(number) / f"stage{int(stage)}"
            documents = tuple(Document(path.name, path.read_bytes()) for path in sorted(folder.iterdir()))
            mapped = map_output(parse_run_id(run_id(number)), stage, documents)
            assert mapped.gaps == ()
            assert (mapped.report is not None) == (stage is Stage.INSPIRATIONS)
            assert len(mapped.cards) == (5 if stage is Stage.OPPORTUNITIES else 0)


def test_nothing_in_a_fresh_tree_is_unsettled(tmp_path: Path) -> None:
    """A benchmark that waits for a settle time measures that: folders count as well as documents."""
    generate(tmp_path / "tree", 2)
    newest = max(path.stat().st_mtime for path in (tmp_path / "tree").rglob("*"))
    assert newest < time.time() - Settings.model_fields["settle"].default.total_seconds()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        generate(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
