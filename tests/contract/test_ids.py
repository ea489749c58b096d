"""Ids of rows that runferry inserts."""

from __future__ import annotations

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import _NAMESPACE, RunId, row_id


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 9))
def test_row_ids_are_the_version_5_uuids_that_the_standard_library_makes(run_id: str, number: int) -> None:
    name = f"{run_id}\nOpportunityCard\n{number}"
    assert row_id(RunId(run_id), "OpportunityCard", number) == str(uuid5(_NAMESPACE, name))
