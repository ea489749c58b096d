"""Text of outputs on a terminal: it may hold anything, and must not steer the terminal."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from pathlib import Path
from typing import Final

#: So much of a name stands in a sentence that refuses it: it may be of any length.
NAME_CHARACTERS: Final = 80
_LEAST_WIDTH: Final = 40
_HANGING_INDENT: Final = 6
_COMMAND: Final = re.compile(r"(: |`)(['/]|\S*/|ops |producer |worker\b|psql )")
_CONTROL_PICTURES: Final = 0x2400
_DELETE: Final = 0x7F
_ZERO_WIDTH: Final = frozenset("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def printable(text: str) -> str:
    """Return `text` as one that only shows: control characters become pictures or escapes, line ends too."""
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> list[str]:
    """Return the lines of `text`, each printable; only line feeds end a line, as JSON's line numbers count."""
    return [printable(line.removesuffix("\r").expandtabs(4)) for line in text.split("\n")]


def cropped(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, with an ellipsis where something was cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def wrapped(line: str, width: int) -> str:
    """Return `line` broken at words where it is too long; one that ends in a command stays whole, to be copied."""
    listed = line.startswith("  ")
    bare = line.lstrip(" ")
    if not listed and _COMMAND.search(line):
        return line
    return textwrap.fill(
        bare,
        max(_LEAST_WIDTH, width),
        initial_indent=line[: len(line) - len(bare)],
        subsequent_indent=" " * _HANGING_INDENT if listed else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def briefly(path: Path) -> str:
    """Return `path` as one writes it in the folder where one is."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _shown(character: str) -> str:
    code = ord(character)
    if code < ord(" "):
        return chr(_CONTROL_PICTURES + code)
    if code == _DELETE:
        return "␡"
    if character in _ZERO_WIDTH or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\u{code:04x}"
    return character
