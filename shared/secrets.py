"""Secrets: passwords that must be in no line that anybody reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.settings import Settings

#: Up to the last @: a password may hold others. What follows a quote is another text, unless the password holds one.
_PASSWORD_IN_URL: Final = re.compile(r"""(\w+://[^\s:/@]*):(?:[^\s"']+|[^\s@]+)@""")
_PASSWORD_IN_QUERY: Final = re.compile(r"([?&]\w*password)=[^\s&\"')]+", re.IGNORECASE)
#: A shorter one would be found in words that are none.
_LEAST_CHARACTERS: Final = 6


def hide_passwords(text: str) -> str:
    """Return the text with `***` for the password of every URL in it."""
    return _PASSWORD_IN_QUERY.sub(r"\1=***", _PASSWORD_IN_URL.sub(r"\1:***@", text))


def hider(settings: Settings) -> Callable[[str], str]:
    """Return what hides the passwords of all URLs, and those of these settings wherever they stand."""
    known = sorted(set(_written(settings)), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "***")
        return hide_passwords(text)

    return hide


def _written(settings: Settings) -> Iterator[str]:
    """Yield each password of the settings in the forms in which it may be written."""
    for url in (settings.database_url, settings.redis_url):
        for secret in _passwords(url.get_secret_value()) if url is not None else ():
            for form in (secret, unquote(secret)):
                if len(form) >= _LEAST_CHARACTERS:
                    yield from (form, json.dumps(form)[1:-1], repr(form)[1:-1])


def _passwords(url: str) -> Iterator[str]:
    credentials = url.partition("://")[2].rpartition("@")[0]
    if ":" in credentials:
        yield credentials.partition(":")[2]
    try:
        query = parse_qsl(urlsplit(url).query)
    except ValueError:
        return
    yield from (value for name, value in query if name.lower().endswith("password"))
