"""Facts about a run that its outputs state; merging them is the same in every order of arrival."""

from __future__ import annotations

from collections.abc import Iterable

from shared.ids import Stage
from shared.rows import FactSource, OutputFacts


def merge_facts(stated: Iterable[tuple[Stage, OutputFacts]]) -> OutputFacts:
    """Return what the outputs of a run state together: the best source wins, of equal ones the higher stage."""
    outputs = tuple(stated)
    return OutputFacts(
        company_id=_best((stage, facts.company_id) for stage, facts in outputs),
        document_name=_best((stage, facts.document_name) for stage, facts in outputs),
    )


def with_fallbacks(fact: tuple[str, FactSource] | None, *, hint: str | None, guess: str) -> str:
    """Return the value that wins among what the outputs state, what a message hinted at, and a guess."""
    candidates = [(guess, FactSource.GUESS)]
    if hint is not None:
        candidates.append((hint, FactSource.HINT))
    if fact is not None:
        candidates.append(fact)
    return max(candidates, key=lambda candidate: candidate[1])[0]


def _best(facts: Iterable[tuple[Stage, tuple[str, FactSource] | None]]) -> tuple[str, FactSource] | None:
    known = [(fact[1], stage, fact) for stage, fact in facts if fact is not None and fact[0]]
    return max(known)[2] if known else None
