"""From files to rows as simply as a migration script does it: no checks, no real parsers, no gaps.

Shared by the baselines, so that what they differ in is how rows get into PostgreSQL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

USER_ID: Final = "migration-user"
STAGES: Final = (1, 2, 3, 4, 5)
CARDS: Final = (1, 2, 3, 4, 5)
#: A heading belongs to the first column whose word is in it.
_SECTIONS: Final = (
    ("tagline", "tagline"),
    ("problem", "problem"),
    ("solution", "solution"),
    ("why now", "why_now"),
    ("target", "target_segment"),
    ("quick win", "quick_win"),
)
CARD_COLUMNS: Final = ("number", "title", *(column for _, column in _SECTIONS))


def run_values(run_dir: Path) -> tuple[Any, ...]:
    """Return id, userId, companyId, companyName, documentName, documentUrl, status, currentStage."""
    context = run_dir / "stage4" / "context.json"
    return run_row(run_dir.name, context.read_text() if context.exists() else None)


def run_row(run_id: str, context: str | None) -> tuple[Any, ...]:
    """Return what `run_values` returns, from the text of context.json."""
    company_id = json.loads(context).get("brand_id", "unknown") if context is not None else "unknown"
    name = company_id.replace("-", " ").title()
    url = f"https://migrated/{run_id}"
    return run_id, USER_ID, company_id, name, "migrated-document.pdf", url, "COMPLETED", 5


def report_values(run_dir: Path) -> tuple[Any, ...] | None:
    """Return runId and the title, content and elements of both inspirations; None where there are not two."""
    path = run_dir / "stage1" / "inspirations.json"
    return report_row(run_dir.name, path.read_text()) if path.exists() else None


def report_row(run_id: str, text: str) -> tuple[Any, ...] | None:
    """Return what `report_values` returns, from the text of inspirations.json."""
    inspirations = json.loads(text).get("inspirations", [])
    if len(inspirations) < 2:
        return None
    first, second = inspirations[:2]
    fields = ("title", "content", "key_elements")
    return run_id, *(first[field] for field in fields), *(second[field] for field in fields)


def card_values(run_dir: Path) -> list[tuple[Any, ...]]:
    """Return per card the values of `CARD_COLUMNS`."""
    structured = run_dir / "stage5" / "opportunities.json"
    if structured.exists():
        cards = json.loads(structured.read_text()).get("opportunities", [])
        return [tuple(card[column] for column in CARD_COLUMNS) for card in cards]
    paths = ((number, run_dir / "stage5" / f"opportunity-{number}.md") for number in CARDS)
    return [card_row(number, path.read_text()) for number, path in paths if path.exists()]


def stage_output_values(
    run_dir: Path, stage: int, *, without_json: bool
) -> tuple[str, int, str, str | None] | None:
    """Return runId, stageNumber, Markdown and JSON text; None where the stage left nothing.

    `without_json` also takes a stage that left only Markdown, all of it joined; else only the first Markdown file
    is taken, and that only beside a JSON file.
    """
    stage_dir = run_dir / f"stage{stage}"
    if not stage_dir.exists():
        return None
    names = sorted(os.listdir(stage_dir))  # noqa: PTH208 - `iterdir` costs three times as much, `glob` ten times
    json_names = [name for name in names if name.endswith(".json")]
    markdown_names = [name for name in names if name.endswith(".md")]
    if not json_names and not (without_json and markdown_names):
        return None
    taken = markdown_names if without_json else markdown_names[:1]
    return stage_output_row(
        run_dir.name,
        stage,
        [(stage_dir / name).read_text() for name in taken],
        (stage_dir / json_names[0]).read_text() if json_names else None,
    )


def stage_output_row(
    run_id: str, stage: int, markdown: Sequence[str], json_text: str | None
) -> tuple[str, int, str, str | None]:
    """Return runId, stageNumber, Markdown and JSON text."""
    normal = json.dumps(json.loads(json_text)) if json_text is not None else None
    return run_id, stage, "\n\n".join(markdown), normal


def card_row(number: int, text: str) -> tuple[Any, ...]:
    """Return the values of `CARD_COLUMNS` of one Markdown card."""
    title, column = "Untitled", ""
    columns = dict.fromkeys((column for _, column in _SECTIONS), "")
    for line in text.split("\n"):
        if line.startswith("# ") and title == "Untitled":
            title = line[2:].strip()
        elif line.startswith("## "):
            heading = line[3:].lower()
            column = next((name for word, name in _SECTIONS if word in heading), column)
        elif column and (stripped := line.strip()):
            columns[column] += stripped + " "
    return number, title, *columns.values()
