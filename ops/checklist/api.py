"""The web app's API, asked as a browser would: does it show what the rows hold?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import orjson

from shared.errors import UsageError
from shared.ids import RunId

_TIMEOUT_S: Final = 10.0
_MAX_BYTES: Final = 32 * 1024 * 1024


def check_url(url: str) -> str:
    """Return the URL with a place for the run's id; raises UsageError where it is none of HTTP."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(
            f"--api-url must be http:// or https://, with {{run_id}} in it where the run's id belongs: {url}"
        )
    return url if "{run_id}" in url else url.rstrip("/") + "/{run_id}"


def fault_of_run(url: str, headers: Sequence[tuple[str, str]], run_id: RunId, titles: Sequence[str]) -> str | None:
    """Return why the API's answer is not this run with these cards; None where it is."""
    address = url.replace("{run_id}", quote(run_id, safe=""))
    request = Request(address, headers={"Accept": "application/json", **dict(headers)})  # noqa: S310 - http(s) was checked
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - http(s) was checked
            answer = orjson.loads(response.read(_MAX_BYTES))
    except (URLError, OSError, orjson.JSONDecodeError) as error:
        return f"{run_id}: {error}"
    texts = set(_texts(answer))
    lacking = [text for text in (run_id, *titles) if text not in texts]
    return f"{run_id}: the answer lacks {lacking[0]!r}" if lacking else None


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
