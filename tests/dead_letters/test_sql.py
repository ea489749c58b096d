"""SQL by name."""

from __future__ import annotations

import pytest

from shared.sql import load_queries, parse_queries


def test_a_query_is_found_by_its_name_with_the_sentence_that_explains_it():
    queries = parse_queries(
        "-- A file.\n\n-- name: one\n-- Says one.\nSELECT 1;\n\n-- name: two\nSELECT 2;\n", "a.sql"
    )
    assert queries == {"one": "-- Says one.\nSELECT 1;", "two": "SELECT 2;"}


@pytest.mark.parametrize(
    "text", ["-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;", "SELECT 1;\n-- name: one\nSELECT 2;"]
)
def test_a_name_given_twice_and_sql_without_a_name_are_refused(text):
    with pytest.raises(ValueError, match=r"a\.sql"):
        parse_queries(text, "a.sql")


def test_the_queries_of_a_package_are_loaded_from_all_its_files():
    assert {"record", "resolve", "marks_of_runs"} <= load_queries("shared.dead_letters").keys()
