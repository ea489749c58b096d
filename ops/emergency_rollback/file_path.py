"""The file path: whether a pipeline stage reads its inputs from files, as before there was a database."""

from __future__ import annotations

from dataclasses import dataclass

from producers.stage_store.output import Source
from producers.stage_store.store import StageStore
from shared.errors import RunferryError
from shared.run_folders.listing import list_runs
from shared.settings import Phase, Settings


@dataclass(frozen=True, slots=True)
class FilePath:
    """What was read of which run; `fault` says why nothing was."""

    run_id: str | None = None
    documents: int = 0
    fault: str | None = None


def read_a_run(settings: Settings) -> FilePath:
    """Read every stage of one run through the stage store, in the phase that was just set."""
    try:
        # A run that has come far tells most.
        runs = (
            run for run in list_runs(settings.root, settings.max_output_bytes) if run.stages and not run.faults
        )
        run = max(
            (run for run, _ in zip(runs, range(_LOOKED_AT), strict=False)),
            key=lambda run: len(run.stages),
            default=None,
        )
        if run is None:
            return FilePath(fault=f"There is no run in {settings.root} to read.")
        documents = 0
        with StageStore(settings.model_copy(update={"phase": Phase.FILES_ONLY})) as store:
            for stage in run.stages:
                output = store.read(run.run_id, stage)
                if output.source is not Source.FILES:
                    return FilePath(run.run_id, documents, f"Stage {stage} was read from {output.source}.")
                documents += len(output.documents)
            if store.phase is not Phase.FILES_ONLY:
                return FilePath(run.run_id, documents, f"The phase is {store.phase.value}.")
        return FilePath(run.run_id, documents)
    except (RunferryError, OSError) as error:
        return FilePath(fault=str(error))


_LOOKED_AT = 100
