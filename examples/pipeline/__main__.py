"""Runs the example pipeline: many runs at once, in whatever phase is in force.

    make pipeline                                20 runs, with a worker, and what became of them
    python -m examples.pipeline --runs 5         the pipeline alone: workers run elsewhere
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click
from pydantic import SecretStr

from examples.pipeline.executors import STAGES
from producers import AsyncStageStore, CommitState
from producers.worker_processes import WorkerProcesses
from shared.command import RunferryCommand, store_options
from shared.counting import counted, word_for
from shared.settings import Phase, Settings
from shared.stores import resolve_stores

DOCUMENT = Path(__file__).parent / "documents" / "repair-cafes.md"
AWAIT_S = 60.0


async def one_run(store: AsyncStageStore, document_path: Path, run_id: str) -> str:
    """Run all stages of one run, each handed the token of the one before; returns the last token."""
    executors = [executor(store) for executor in STAGES]
    try:
        token = await executors[0].execute(document_path, run_id)
        for executor in executors[1:]:
            token = await executor.execute(document_path, run_id, after=token)
        return token
    except Exception as error:
        await store.run_failed(run_id, str(error))
        raise


async def all_runs(
    settings: Settings, name: str, runs: int, parallel: int, pause_s: float, *, await_rows: bool
) -> int:
    """Run the pipeline many times, some at once; returns how many runs failed."""
    turns = asyncio.Semaphore(parallel)
    failed: list[str] = []
    tokens: list[str] = []

    async with AsyncStageStore(settings, publisher="example-pipeline") as store:

        async def turn(number: int) -> None:
            async with turns:
                run_id = f"{name}-{number:04d}"
                try:
                    tokens.append(await one_run(store, DOCUMENT, run_id))
                except Exception as error:
                    failed.append(f"{run_id}: {type(error).__name__}: {error}")
                else:
                    print(run_id, await store.phase(), flush=True)
                await asyncio.sleep(pause_s)

        await asyncio.gather(*(turn(number) for number in range(runs)))
        if await_rows and await store.phase() is Phase.FILES_ONLY:
            print("In files-only nothing is published: no rows are awaited.")
        elif await_rows:
            states = await asyncio.gather(*(store.committed(token, AWAIT_S) for token in tokens))
            through = states.count(CommitState.COMMITTED)
            print(f"{through} of {counted(runs, 'run')} {word_for(through, 'is', 'are')} in the rows to the end.")
        for name, times in sorted(store.counters().items()):
            print(f"{name}: {times}", file=sys.stderr)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return len(failed)


@click.command(cls=RunferryCommand)
@click.option("--name", default=lambda: f"pipeline-{int(time.time())}", help="What the run ids begin with.")
@click.option("--runs", default=20, show_default=True, help="How many runs.")
@click.option("--parallel", default=8, show_default=True, help="How many at once.")
@click.option("--pause", "pause_s", default=0.0, help="Seconds between two runs of the same turn.")
@click.option("--run-workers", default=0, help="Run so many worker processes meanwhile, and wait for the rows.")
@store_options
def main(settings: Settings, *, name: str, runs: int, parallel: int, pause_s: float, run_workers: int) -> int:
    """Run the example pipeline; exit status 1 where a run failed."""
    # A stage store starts no services. This is a command, and so it may use the embedded ones.
    stores = resolve_stores(settings)
    given = {"database_url": SecretStr(stores.database.url), "redis_url": SecretStr(stores.redis_url)}
    workers = None
    if run_workers:
        urls = {"DATABASE_URL": stores.database.url, "REDIS_URL": stores.redis_url}
        workers = WorkerProcesses.start(run_workers, settings.home / "pipeline-workers.log", urls)
    try:
        failed = asyncio.run(
            all_runs(
                settings.model_copy(update=given), name, runs, parallel, pause_s, await_rows=run_workers > 0
            )
        )
    finally:
        if workers is not None:
            workers.stop(settings.drain_timeout.total_seconds())
    return min(1, failed)


if __name__ == "__main__":
    main()
