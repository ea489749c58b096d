"""Everything goes wrong while a backfill and live emits run, and in the end the sum comes out.

The gate has a short storm. `make faults` has a long one, by a seed that it prints; `make faults SEED=…` repeats it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from real_workers import Site
from storm import OwnServices, Plan, Storm, check, plant

LONG = os.environ.get("FAULTS_LONG") == "1"


@pytest.mark.long
def test_whatever_goes_wrong_everything_arrives_once_and_the_rows_are_those_of_a_calm_run(
    own_site: Callable[[str, Path], Site],
    own_services: OwnServices,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or (secrets.randbelow(1_000_000) if LONG else 1))
    plan = Plan.long(seed) if LONG else Plan.short(seed)

    def say(text: str) -> None:
        if LONG:
            with capsys.disabled():
                print(text, flush=True)

    say(f"\nseed {seed} (make faults SEED={seed} repeats it)")
    print(f"seed {seed}")
    root = tmp_path / "root"
    plant(root, plan)
    calm = own_site("calm", root)
    expected = Storm(plan, calm, own_services, say).calm()
    calm.close()

    site = own_site("storm", root)
    storm = Storm(plan, site, own_services, say)
    found = storm.rage()
    assert set(site.stop_workers()) == {0}
    check(site, storm, plan)
    for table, rows in expected.items():
        assert found[table] == rows, table
    say(f"{sum(site.verdicts().values())} outputs: {dict(site.verdicts())}")
