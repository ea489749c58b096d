"""Prose for generated runs: sentences, lists and tables as a pipeline writes them, the same for a seed."""

from __future__ import annotations

from random import Random
from typing import Final

_SUBJECTS: Final = (
    "The regional bakery", "A co-operative of growers", "Every second household", "The night shift",
    "A repair workshop", "The returns depot", "One driver per street", "The school kitchen",
    "A library of things", "The market hall", "Das Stammgeschäft", "La petite épicerie", "駅前の茶舗",
)  # fmt: skip
_VERBS: Final = (
    "asks for", "no longer accepts", "quietly pays for", "has begun to share", "measures", "lends out",
    "would miss", "returns", "publishes", "doubles the value of", "forgets about", "bets on",
)  # fmt: skip
_OBJECTS: Final = (
    "the standing order", "glass that comes back", "an hour without announcements", "the empty leg of the trip",
    "a shelf of forty articles", "the “second” counter", "opening hours that follow the customer",
    "crates – not cartons", "a price by weight", "the €3.50 breakfast", "the smell of the oven",
    "half of the cooling at noon",
)  # fmt: skip
_CIRCUMSTANCES: Final = (
    "because the trip happens anyway", "since the rules were eased in spring", "long before seven in the morning",
    "with a break-even at about eleven returns", "although nobody had planned it", "in three of the nine towns",
    "while the competition cuts its range", "and 94 % of it within a week", "where waiting is part of the visit",
    "as the interviews on pages 4–9 show", "“within reason”, as one of them put it",
    "for less than 0.40 € a crate",
)  # fmt: skip
_SENTENCES: Final = 900


class Prose:
    """Endless text from a fixed stock of sentences."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        self._sentences = [
            f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)}, {rng.choice(_CIRCUMSTANCES)}."
            for _ in range(_SENTENCES)
        ]

    def phrase(self, rng: Random) -> str:
        """Return a few words, without a full stop."""
        return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)}"

    def paragraphs(self, rng: Random, count: int, sentences: int) -> str:
        """Return `count` paragraphs of as many lines as sentences, with blank lines between them."""
        return "\n\n".join("\n".join(rng.choices(self._sentences, k=sentences)) for _ in range(count))

    def bullets(self, rng: Random, count: int) -> str:
        """Return a list with a bullet a sentence."""
        return "\n".join(f"- **{rng.choice(_OBJECTS)}**: {line}" for line in rng.choices(self._sentences, k=count))

    def sentences(self, rng: Random, count: int) -> list[str]:
        """Return `count` sentences."""
        return rng.choices(self._sentences, k=count)

    def table(self, rng: Random, rows: int) -> str:
        """Return a Markdown table."""
        lines = [
            f"| {rng.choice(_OBJECTS)} | {rng.randint(1, 99)} % | {rng.choice(_CIRCUMSTANCES)} |"
            for _ in range(rows)
        ]
        return "\n".join(["| What | Share | Note |", "|---|--:|---|", *lines])
