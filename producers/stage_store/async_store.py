"""The stage store for asyncio: the same methods, awaited; the event loop is never held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from producers.emitter import Documents
from producers.receipt import CommitState, Receipt, Token
from producers.stage_store.output import StageOutput
from producers.stage_store.store import StageStore
from shared.contract import Hints
from shared.settings import Phase, Settings

_THREADS: Final = 16
_NO_HINTS: Final = Hints()

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class AsyncReceipt:
    """A receipt whose waiting is awaited."""

    receipt: Receipt
    _store: AsyncStageStore

    @property
    def token(self) -> Token:
        """The token, to be handed on as text."""
        return self.receipt.token

    async def committed(self, timeout: float = 10.0) -> CommitState:  # noqa: ASYNC109 - as in the other store
        """Wait until the output, or a later one, is in the rows; raises OutputDeadLettered at once."""
        return await self._store.aside(self.receipt.committed, timeout)


class AsyncStageStore:
    """A stage store on threads of its own: a pipeline may keep all of the loop's default ones busy for minutes."""

    def __init__(self, settings: Settings | None = None, *, publisher: str | None = None) -> None:
        self._store = StageStore(settings, publisher=publisher)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="runferry-store")

    async def write(
        self,
        run_id: str,
        stage: int,
        documents: Documents,
        *,
        hints: Hints = _NO_HINTS,
        wants_receipt: bool | None = None,
    ) -> AsyncReceipt:
        """Write one stage's output, as `StageStore.write`."""
        receipt = await self.aside(
            self._store.write, run_id, stage, documents, hints=hints, wants_receipt=wants_receipt
        )
        return AsyncReceipt(receipt, self)

    async def read(
        self,
        run_id: str,
        stage: int,
        *,
        at_least: str | Token | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in the other store
    ) -> StageOutput:
        """Return one stage's output, as `StageStore.read`."""
        return await self.aside(self._store.read, run_id, stage, at_least=at_least, timeout=timeout)

    async def committed(self, token: str | Token, timeout: float = 10.0) -> CommitState:  # noqa: ASYNC109 - as above
        """Wait for the output of a token that was handed on, as `StageStore.committed`."""
        return await self.aside(self._store.committed, token, timeout)

    async def phase(self) -> Phase:
        """Return the phase in force."""
        return await self.aside(lambda: self._store.phase)

    async def run_started(self, run_id: str, *, hints: Hints = _NO_HINTS) -> bool:
        """Say that a pipeline began to work on a run."""
        return await self.aside(self._store.run_started, run_id, hints=hints)

    async def run_failed(self, run_id: str, error: str, *, hints: Hints = _NO_HINTS) -> bool:
        """Say that a pipeline gave up on a run, and why."""
        return await self.aside(self._store.run_failed, run_id, error, hints=hints)

    def counters(self) -> Mapping[str, int]:
        """Return how often something was not as it should be, as `StageStore.counters`."""
        return self._store.counters()

    async def close(self) -> None:
        """Close the connections and end the threads."""
        await self.aside(self._store.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def aside(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what a function returns, from one of the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))
