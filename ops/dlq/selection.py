"""Selection: which letters a command means, by ids or by filters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click

from shared.contract import Origin
from shared.dead_letters.letter import LetterState
from shared.durations import parse_duration
from shared.reasons import Reason

R = TypeVar("R")

WAITING: Final = (LetterState.OPEN, LetterState.REPLAYING)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; None means: whatever it is. `ids` and filters hold together."""

    ids: tuple[int, ...] | None = None
    states: tuple[LetterState, ...] | None = WAITING
    reason: str | None = None
    fingerprint: str | None = None
    run_id: str | None = None
    stage: int | None = None
    origin: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """True where neither ids nor a filter narrow it down."""
        filters = (self.reason, self.fingerprint, self.run_id, self.stage, self.origin, self.since, self.until)
        return self.ids is None and all(value is None for value in filters)

    @property
    def waits(self) -> bool:
        """True where it holds only letters that wait for somebody."""
        return self.states is not None and all(state.waits for state in self.states)

    def arguments(self) -> tuple[Any, ...]:
        """Return the parameters $1 to $9 of the queries that take a selection."""
        return (
            None if self.ids is None else list(self.ids),
            None if self.states is None else [state.value for state in self.states],
            self.reason,
            self.fingerprint,
            self.run_id,
            self.stage,
            self.origin,
            self.since,
            self.until,
        )


def parse_moment(text: str, now: datetime) -> datetime:
    """Return a moment as people write it: ISO 8601 (UTC where no zone is said), or an age such as `2h` or `7d`.

    Raises ValueError.
    """
    age = parse_duration(text)
    if isinstance(age, timedelta):
        return now - age
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Moment(click.ParamType[datetime]):
    """A moment or an age on the command line."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(str(value), datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a time such as 2026-01-31T12:00 nor an age such as 2h or 7d.", param, ctx
            )


_STATES: Final = click.Choice([state.value for state in LetterState] + ["all"])


def selection_options(
    *, ids: bool, states: bool, reason_flags: tuple[str, ...] = ("--reason", "--reason-code")
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add the filters, and ids as arguments if wanted, and hand the command its `selection: Selection`."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def with_selection(
            *args: Any,
            letter_ids: tuple[int, ...] = (),
            state: tuple[str, ...] = (),
            reason: str | None,
            fingerprint: str | None,
            run_id: str | None,
            stage: int | None,
            origin: str | None,
            since: datetime | None,
            until: datetime | None,
            **kwargs: Any,
        ) -> R:
            selection = Selection(
                ids=tuple(dict.fromkeys(letter_ids)) or None,
                states=_states(state),
                reason=reason,
                fingerprint=fingerprint,
                run_id=run_id,
                stage=stage,
                origin=origin,
                since=since,
                until=until,
            )
            return command(*args, selection=selection, **kwargs)

        decorated: Callable[..., R] = with_selection
        for option in reversed(_options(ids=ids, states=states, reason_flags=reason_flags)):
            decorated = option(decorated)
        return decorated

    return decorate


def _states(words: tuple[str, ...]) -> tuple[LetterState, ...] | None:
    if not words:
        return WAITING
    return None if "all" in words else tuple(LetterState(word) for word in words)


def _options(
    *, ids: bool, states: bool, reason_flags: tuple[str, ...]
) -> list[Callable[[Callable[..., R]], Callable[..., R]]]:
    options: list[Any] = []
    if ids:
        options.append(click.argument("letter_ids", metavar="[ID]…", nargs=-1, type=click.IntRange(min=1)))
    if states:
        options.append(
            click.option(
                "--state",
                multiple=True,
                type=_STATES,
                help="Repeatable; default: open and replaying; `all` for any.",
            )
        )
    return [
        *options,
        click.option(
            *reason_flags,
            "reason",
            type=click.Choice([reason.value for reason in Reason]),
            metavar="CODE",
            help="Why they died: not_json, card_number, …",
        ),
        click.option("--fingerprint", metavar="HEX", help="A group of `ops dlq groups`, or how it begins."),
        click.option("--run-id", metavar="ID", help="Of one run."),
        click.option("--stage", type=click.IntRange(0, 5), help="Of one stage; 0: of no known stage."),
        click.option("--origin", type=click.Choice([origin.value for origin in Origin]), help="Who sent them."),
        click.option(
            "--since", type=Moment(), help="Died at or after: 2026-01-31T12:00 (UTC), or an age: 2h, 7d."
        ),
        click.option("--until", type=Moment(), help="Died before: as --since."),
    ]
