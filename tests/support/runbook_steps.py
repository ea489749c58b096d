"""The commands of a runbook, in their order, with what their reader is told to see."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One command of a document; `seen` are the lines below it, where `…` stands for anything."""

    heading: str
    block: int  # of its heading, counted from 1
    command: str
    status: int
    seen: list[str] = field(default_factory=list)

    def difference(self, output: str) -> str | None:
        """Return the line that the output lacks, in the order of the document; None where it has all."""
        at = 0
        for line in self.seen:
            parts = (r"\s+".join(map(re.escape, part.split())) for part in line.split("…"))
            pattern = r"[^\n]*?".join(parts)
            found = re.compile(rf"^[ ]*{pattern}[ ]*$", re.MULTILINE).search(output, at)
            if found is None:
                return line
            at = found.end()
        return None


def steps_of(document: str) -> list[Step]:
    """Return the steps of a document: its fenced blocks of the kind `console`."""
    steps: list[Step] = []
    heading, block, inside = "", 0, False
    for line in document.splitlines():
        if line.startswith("```"):
            inside = line == "```console"
            block += inside
        elif inside and line.startswith("$ "):
            command, _, note = line[2:].partition("   # ends with ")
            steps.append(Step(heading, block, command, int(note or 0)))
        elif inside:
            steps[-1].seen.append(line)
        elif line.startswith("## "):
            heading, block = line[3:], 0
    return steps
