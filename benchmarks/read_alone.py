"""Reading and parsing the files alone: what no proof that looks at them can save.

python -m benchmarks.read_alone ROOT 2
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from shared.mapping import map_output
from shared.run_folders.listing import run_names
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import MEBIBYTE

_MAX_OUTPUT_BYTES = 8 * MEBIBYTE


def read(root: str, names: list[str]) -> int:
    """Read and map these runs; return how many outputs they have."""
    outputs = 0
    for run in Scanner(Path(root), Limits(0.0, _MAX_OUTPUT_BYTES)).named(names):
        for output in run.outputs:
            map_output(run.run_id, output.stage, output.documents)
            outputs += 1
    return outputs


def main() -> None:
    """Print how many outputs were read."""
    root, processes = sys.argv[1], int(sys.argv[2])
    names = list(run_names(Path(root)))
    with ProcessPoolExecutor(processes) as pool:
        print(sum(pool.map(read, [root] * processes, [names[share::processes] for share in range(processes)])))


if __name__ == "__main__":
    main()
