"""Prints the structure that the migrations make in an empty database: the new `expected.json`."""

from __future__ import annotations

import asyncio
import sys

import asyncpg

from ops.schema.expected import build


async def _print(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        built = await build(connection)
    finally:
        await connection.close()
    sys.stdout.write(built.model_dump_json(indent=1, exclude_defaults=True) + "\n")


if __name__ == "__main__":
    asyncio.run(_print(sys.argv[1]))
