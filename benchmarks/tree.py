"""A tree of runs in the planned shape, about 37 KB a run, byte for byte the same for the same seed.

python -m benchmarks.tree ROOT --runs 2000 --seed 1
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from benchmarks.prose import Prose

DEFAULT_SEED: Final = 1
CARDS: Final = 5
_BRANDS: Final = (
    "halewick-dairy", "tidemark-outfitters", "corrie-and-vale", "pellwood-pharmacy", "loomlight-games",
    "kumomori-chaho", "gruenwetter-backwaren", "dar-al-rutab", "ondine-cosmetics",
)  # fmt: skip
#: Run ids and modification times lie in the past: a fresh tree is neither unsettled nor different on each day.
_FIRST_RUN_MS: Final = 1_759_300_000_000
_RUN_EVERY_MS: Final = 97_003


@dataclass(frozen=True, slots=True)
class Tree:
    """What was generated."""

    runs: int
    documents: int
    content_bytes: int
    seconds: float


def generate(root: Path, runs: int, seed: int = DEFAULT_SEED) -> Tree:
    """Write `runs` run folders into the new or empty folder `root`; a longer tree begins with the same runs."""
    started = time.perf_counter()
    prose = Prose(seed)
    documents = content_bytes = 0
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty.")
    for number in range(runs):
        produced_s = (_FIRST_RUN_MS + number * _RUN_EVERY_MS) // 1000
        for path, content in _run(prose, seed, number).items():
            target = f"{root}/{run_id(number)}/{path}"
            _write(target, content, produced_s)
            documents += 1
            content_bytes += len(content)
        _age_folders(f"{root}/{run_id(number)}", produced_s)
    return Tree(runs, documents, content_bytes, time.perf_counter() - started)


def run_id(number: int) -> str:
    """Return the id of the run with this number, counted from 0."""
    return f"run-{_FIRST_RUN_MS + number * _RUN_EVERY_MS}-{number % 10_000:04d}"


def _write(path: str, content: bytes, produced_s: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, content)
        os.utime(descriptor, (produced_s, produced_s))
    finally:
        os.close(descriptor)


def _age_folders(run_dir: str, produced_s: int) -> None:
    """A folder whose names changed just now counts as unsettled."""
    for entry in os.scandir(run_dir):
        os.utime(entry.path, (produced_s, produced_s))
    os.utime(run_dir, (produced_s, produced_s))


def _run(prose: Prose, seed: int, number: int) -> dict[str, bytes]:
    rng = Random(f"{seed}/{number}")
    documents: dict[str, bytes] = {
        "stage1/inspirations.json": _json({"inspirations": [_inspiration(prose, rng) for _ in range(2)]}),
        "stage2/trends.json": _json({"trends": [_trend(prose, rng) for _ in range(5)]}),
        "stage3/lessons.json": _json({"lessons": [_lesson(prose, rng) for _ in range(6)]}),
        "stage4/context.json": _json(_context(prose, rng)),
    }
    for card in range(1, CARDS + 1):
        documents[f"stage5/opportunity-{card}.md"] = _card(prose, rng).encode()
    return documents


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def _inspiration(prose: Prose, rng: Random) -> dict[str, Any]:
    return {
        "title": prose.phrase(rng),
        "content": prose.paragraphs(rng, 4, 7),
        "key_elements": prose.sentences(rng, 5),
    }


def _trend(prose: Prose, rng: Random) -> dict[str, Any]:
    return {
        "name": prose.phrase(rng),
        "description": prose.paragraphs(rng, 1, 6),
        "signals": prose.sentences(rng, 4),
        "strength": round(rng.random(), 2),
    }


def _lesson(prose: Prose, rng: Random) -> dict[str, Any]:
    return {
        "lesson": prose.phrase(rng),
        "because": prose.paragraphs(rng, 1, 5),
        "transfers_to": prose.sentences(rng, 3),
    }


def _context(prose: Prose, rng: Random) -> dict[str, Any]:
    return {
        "brand_id": rng.choice(_BRANDS),
        "positioning": prose.paragraphs(rng, 2, 7),
        "assets": prose.sentences(rng, 20),
        "constraints": {"minimum_order_eur": rng.randint(5, 40), "shelf_life_days": rng.randint(2, 90)},
        "notes": prose.paragraphs(rng, 2, 7),
    }


def _card(prose: Prose, rng: Random) -> str:
    sections = {
        "Tagline": prose.phrase(rng),
        "Problem": prose.paragraphs(rng, 2, 4),
        "Solution": f"{prose.paragraphs(rng, 1, 3)}\n\n{prose.bullets(rng, 4)}",
        "Why Now": f"{prose.paragraphs(rng, 1, 2)}\n\n{prose.table(rng, 3)}",
        "Target Segment": prose.paragraphs(rng, 1, 3),
        "Quick Win": prose.bullets(rng, 3),
    }
    body = "\n\n".join(f"## {heading}\n{text}" for heading, text in sections.items())
    return f"# {prose.phrase(rng)}\n\n{body}\n"


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(min=1), default=2_000, show_default=True, help="Run folders to write.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Same seed, same bytes.")
def main(root: Path, runs: int, seed: int) -> None:
    """Write a tree of runs in the planned shape into the new or empty folder ROOT."""
    try:
        tree = generate(root, runs, seed)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{tree.runs} runs, {tree.documents} documents, {tree.content_bytes / tree.runs / 1000:.1f} KB a run, "
        f"in {tree.seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
