"""Which schema a session's search_path names."""

from __future__ import annotations

import pytest

from ops.schema.search_path import web_app_schema


@pytest.mark.parametrize(
    ("search_path", "schemas", "expected"),
    [
        ('"$user", public', (), "public"),
        ('"$user", public', ("me",), "me"),
        ('"app"', (), "app"),
        ("app", ("public",), "app"),
        ("App", (), "app"),
        ('"App"', (), "App"),
        ('"a ""quoted"", one", public', (), 'a "quoted", one'),
        ("pg_catalog, public", (), "public"),
        ("", (), "public"),
        ('""', (), "public"),
    ],
)
def test_the_first_schema_that_the_path_names_holds_new_tables(search_path, schemas, expected):
    assert web_app_schema(search_path, "me", schemas) == expected
