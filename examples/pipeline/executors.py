"""The stages. Each reads the one before through the stage store, and writes its own output through it.

What a model would do is done by counting words: the point is where outputs come from and go to.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from producers import AsyncStageStore, Hints

CARDS = 5


class Stage1Executor:
    """Reads the document and picks two inspirations."""

    def __init__(self, store: AsyncStageStore) -> None:
        self.store = store

    async def execute(self, document_path: Path, run_id: str) -> str:
        """Return the token of the output, for the next stage."""
        title, *paragraphs = [part for part in document_path.read_text().split("\n\n") if part.strip()]
        inspirations = [
            {
                "title": f"{title.lstrip('# ')}, {number}",
                "content": " ".join(paragraph.split()),
                "key_elements": keywords(paragraph, 3),
            }
            for number, paragraph in enumerate((paragraphs * 2)[:2], start=1)
        ]
        hints = Hints(document_name=document_path.name)
        await self.store.run_started(run_id, hints=hints)
        receipt = await self.store.write(
            run_id, 1, {"inspirations.json": pretty({"inspirations": inspirations})}, hints=hints
        )
        return str(receipt.token)


class Stage2Executor:
    """Turns inspirations into trends."""

    def __init__(self, store: AsyncStageStore) -> None:
        self.store = store

    async def execute(self, document_path: Path, run_id: str, *, after: str | None = None) -> str:
        inspirations: Any = (await self.store.read(run_id, 1, at_least=after)).json("inspirations.json")
        words = [word for one in inspirations["inspirations"] for word in one["key_elements"]]
        analysis = "# Trends\n\n" + "".join(f"- people speak of *{word}*\n" for word in words)
        receipt = await self.store.write(
            run_id, 2, {"trends.json": pretty({"trends": words}), "trend-analysis.md": analysis}
        )
        return str(receipt.token)


class Stage3Executor:
    """Turns trends into lessons."""

    def __init__(self, store: AsyncStageStore) -> None:
        self.store = store

    async def execute(self, document_path: Path, run_id: str, *, after: str | None = None) -> str:
        trends: Any = (await self.store.read(run_id, 2, at_least=after)).json("trends.json")
        lessons = [f"Where people speak of {word}, make room for it." for word in trends["trends"]]
        receipt = await self.store.write(
            run_id,
            3,
            {
                "lessons.json": pretty({"lessons": lessons}),
                "universal-lessons.md": "# Lessons\n\n" + "\n".join(f"1. {lesson}" for lesson in lessons) + "\n",
            },
        )
        return str(receipt.token)


class Stage4Executor:
    """Puts the lessons into the context of a brand."""

    def __init__(self, store: AsyncStageStore, brand: str = "tidemark-outfitters") -> None:
        self.store = store
        self.brand = brand

    async def execute(self, document_path: Path, run_id: str, *, after: str | None = None) -> str:
        lessons: Any = (await self.store.read(run_id, 3, at_least=after)).json("lessons.json")
        context = {"brand_id": self.brand, "lessons": lessons["lessons"]}
        receipt = await self.store.write(run_id, 4, {"context.json": pretty(context)})
        return str(receipt.token)


class Stage5Executor:
    """Writes five opportunity cards: six documents that must appear together."""

    def __init__(self, store: AsyncStageStore) -> None:
        self.store = store

    async def execute(self, document_path: Path, run_id: str, *, after: str | None = None) -> str:
        context: Any = (await self.store.read(run_id, 4, at_least=after)).json("context.json")
        lessons = context["lessons"]
        cards = {
            f"opportunity-{number}.md": card(number, context["brand_id"], lessons[number % len(lessons)])
            for number in range(1, CARDS + 1)
        }
        summary = "# All five\n\n" + "".join(f"- opportunity {number}\n" for number in range(1, CARDS + 1))
        receipt = await self.store.write(run_id, 5, {**cards, "opportunities-summary.md": summary})
        return str(receipt.token)


STAGES = (Stage1Executor, Stage2Executor, Stage3Executor, Stage4Executor, Stage5Executor)


def keywords(text: str, count: int) -> list[str]:
    """Return the words that say most: the longest of the most frequent ones."""
    words = Counter(word.lower() for word in re.findall(r"[^\W\d_]{5,}", text))
    return sorted(words, key=lambda word: (-words[word], -len(word), word))[:count]


def card(number: int, brand: str, lesson: str) -> str:
    """Return one opportunity card in the planned shape."""
    return (
        f"# Opportunity {number} for {brand}\n\n## Tagline\nMend it together.\n\n## Problem\n{lesson}\n\n"
        f"## Solution\nA bench in every shop.\n\n## Why Now\nThe waiting lists are long.\n\n"
        f"## Target Segment\nPeople who keep things.\n\n## Quick Win\nOne evening a month.\n"
    )


def pretty(value: Any) -> str:
    """Return a value as a stage writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False)
