"""Tally: the accounting of one report, in constant memory; what is named lives on disk where it is much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from producers.spill import SpilledList
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import MEANINGS, Standing, Weight, blocks_final, is_fault


@dataclass(slots=True)
class Tally:
    """What was listed by the command, and what the workers answered for it.

    `listed` and `answers` are counted apart, by different processes: their equality is the accounting equation.
    """

    runs: int = 0
    listed: int = 0
    answers: Counter[Standing] = field(default_factory=Counter)
    repaired: int = 0
    named: dict[Standing, SpilledList] = field(default_factory=dict)
    only_on_disk: Counter[Standing] = field(default_factory=Counter)
    #: Of a report that was kept: how many stood so, where fewer are named.
    totals: dict[Standing, int] = field(default_factory=dict)

    @property
    def accounted(self) -> int:
        """The sum of the verdicts over all outputs on disk."""
        return sum(self.answers.values())

    @property
    def is_balanced(self) -> bool:
        """Every output on disk has one verdict, there are outputs, and none of the verdicts is a fault."""
        return self.listed > 0 and self.listed == self.accounted and not self._any(is_fault)

    def is_final(self, allowed: Collection[Standing] = ()) -> bool:
        """Balanced, nothing is in flight or waits as a dead letter, and PostgreSQL holds all of it: files may go.

        What stands as allowed may be on disk alone.
        """
        return self.is_balanced and not self._any(blocks_final) and not self.unsafe(allowed)

    def unsafe(self, allowed: Collection[Standing] = ()) -> dict[Standing, int]:
        """Return how many outputs are on disk alone, by how they stand, without those that are allowed to be."""
        return {
            word: self.only_on_disk[word] for word in Standing if self.only_on_disk[word] and word not in allowed
        }

    def name(self, named: Named) -> None:
        """Name one output; also what stands outside of the equation."""
        if named.verdict not in self.named:
            self.named[named.verdict] = SpilledList()
        self.named[named.verdict].append(named.to_json())
        self.only_on_disk[named.verdict] += named.only_on_disk

    def take_back(self, standing: Standing) -> SpilledList | None:
        """Uncount all outputs that stand so, because they are asked for again; return them, to be closed."""
        taken = self.named.pop(standing, None)
        if taken is not None:
            self.listed -= len(taken)
            self.answers[standing] -= len(taken)
            del self.only_on_disk[standing]
        return taken

    def named_count(self, standing: Standing) -> int:
        """Return how many stand so; of rows without files as well."""
        if standing in self.totals:
            return self.totals[standing]
        return len(self.named[standing]) if standing in self.named else 0

    def verdicts(self) -> dict[str, int]:
        """Return the counts by word, the matches first, without those that nothing has."""
        return {word.value: self.answers[word] for word in Standing if self.answers[word]}

    def lines(self) -> Iterator[bytes]:
        """Yield everything that is named as JSON, the gravest first."""
        for standing in sorted(self.named, key=_gravity):
            yield from self.named[standing].lines()

    def first_named(self, most: int) -> list[Any]:
        """Return the gravest of what is named."""
        found: list[Any] = []
        for line in self.lines():
            if len(found) == most:
                break
            found.append(orjson.loads(line))
        return found

    def close(self) -> None:
        """Give back the files of the lists."""
        for items in self.named.values():
            items.close()

    def _any(self, question: Any) -> bool:
        return any(count and question(standing) for standing, count in self.answers.items())


def named_in(items: SpilledList) -> Iterator[Named]:
    """Yield what a list names."""
    for line in items.lines():
        yield Named.from_json(orjson.loads(line))


def _gravity(standing: Standing) -> tuple[int, int]:
    order = (Weight.FAULT, Weight.WAITING, Weight.ACCOUNTED, Weight.ASIDE)
    return order.index(MEANINGS[standing].weight), list(Standing).index(standing)
