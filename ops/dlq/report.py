"""Report: one letter with all of its evidence, as lines for people and as JSON. Pure."""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Mapping
from typing import Any, Final

import click

from ops.dlq.contents import documents_in, output_in
from ops.dlq.history import history_line
from ops.dlq.marking import LineKind, MarkedLine, marked
from ops.dlq.summary import iso, short_time
from shared.counting import counted
from shared.dead_letters.letter import FiledLetter, LetterState
from shared.documents import Document
from shared.errors import Place
from shared.ids import Stage
from shared.printable import printable, printable_lines
from shared.wire import content_in_json

_RAW_SHOWN_BYTES: Final = 4_000
_LABEL_WIDTH: Final = 10


def letter_json(filed: FiledLetter) -> dict[str, Any]:
    """Return everything of a letter, in the keys that scripts rely on and more."""
    letter, output = filed.letter, output_in(filed.letter)
    evidence, delivery, worker = letter.evidence, letter.delivery, letter.worker
    return {
        "id": filed.id,
        "reason": evidence.reason,
        "run_id": letter.run_id,
        "stage": letter.stage,
        "origin": letter.origin,
        "died_at": iso(filed.died_at),
        "fingerprint": letter.fingerprint,
        "seen": filed.seen,
        "replays": filed.replays,
        "state": filed.state.value,
        "sentence": evidence.sentence,
        "place": place_json(evidence.place),
        "error": evidence.error_text or evidence.sentence,
        "error_class": evidence.error_class,
        "traceback": evidence.traceback,
        "attempts": delivery.attempts,
        "first_failed_at": iso(delivery.first_failed_at),
        "last_failed_at": iso(delivery.last_failed_at),
        "closed_at": iso(filed.closed_at),
        "produced_at": iso(letter.produced_at),
        "content_sha256": letter.content_sha256,
        "worker": {"host": worker.host, "pid": worker.pid, "version": worker.version},
        "batch_id": delivery.batch_id,
        "message_id": delivery.message_id,
        "queue": delivery.queue,
        "envelope": dict(letter.envelope),
        "documents": [] if output is None else [_document_json(document) for document in documents_in(output)],
        "payload_base64": base64.b64encode(letter.payload).decode("ascii") if output is None else None,
        "history": list(filed.history),
    }


def place_json(place: Place) -> dict[str, Any]:
    """Return what is known of a place."""
    parts = {"document": place.document, "line": place.line, "column": place.column, "section": place.section}
    return {name: value for name, value in parts.items() if value is not None}


def letter_report(filed: FiledLetter, width: int) -> list[str]:
    """Return the report, none of its lines wider than `width` where that can be helped."""
    letter = filed.letter
    return [
        click.style(f"Dead letter {filed.id}: {letter.evidence.reason} ({filed.state.value})", bold=True),
        *textwrap.wrap(printable(letter.evidence.sentence), width),
        "",
        *_facts(filed, width),
        "",
        *_documents(filed, width),
        *_traceback(letter.evidence.traceback),
        click.style("History (UTC)", bold=True),
        *(f"  {printable(history_line(entry))}" for entry in filed.history),
        *_way_on(filed),
    ]


def _facts(filed: FiledLetter, width: int) -> list[str]:
    letter, delivery, worker = filed.letter, filed.letter.delivery, filed.letter.worker
    stage = f"stage {letter.stage} ({Stage(letter.stage).name.lower()})" if letter.stage else "of no known stage"
    produced = "" if letter.produced_at is None else f", produced {short_time(letter.produced_at)}"
    facts: Mapping[str, str] = {
        "output": f"{letter.run_id or '(no run id)'}, {stage}",
        "origin": f"{letter.origin or 'unknown'}{produced}",
        "died": f"{short_time(filed.died_at)} UTC; seen {filed.seen:,}×, replayed {filed.replays:,}×",
        "failed": f"first {short_time(delivery.first_failed_at)}, last {short_time(delivery.last_failed_at)}, "
        f"attempts {delivery.attempts}",
        "worker": f"{worker.host}, pid {worker.pid}, runferry {worker.version}",
        "message": f"{delivery.message_id or '?'} of batch {delivery.batch_id or '?'} on {delivery.queue or '?'}",
        "content": letter.content_sha256,
        "group": letter.fingerprint,
        "error": f"{letter.evidence.error_class}: {letter.evidence.error_text}".strip(": "),
    }
    lines: list[str] = []
    for label, text in facts.items():
        wrapped = textwrap.wrap(printable(text), max(width - _LABEL_WIDTH, 20)) or [""]
        lines.append(f"{label:<{_LABEL_WIDTH}}{wrapped[0]}")
        lines.extend(f"{'':{_LABEL_WIDTH}}{rest}" for rest in wrapped[1:])
    return lines


def _documents(filed: FiledLetter, width: int) -> list[str]:
    output, place = output_in(filed.letter), filed.letter.evidence.place
    if output is None:
        shown = filed.letter.payload[:_RAW_SHOWN_BYTES].decode("utf-8", "backslashreplace")
        title = click.style(f"What came ({counted(len(filed.letter.payload), 'byte')})", bold=True)
        return [title, *(f"  {line}" for line in printable_lines(shown)), ""]
    documents = documents_in(output)
    lines = [click.style("Documents", bold=True)]
    for document in documents:
        here = "  ◀ here" if document.name == place.document else ""
        lines.append(f"  {printable(document.name)}  {counted(len(document.content), 'byte')}{here}")
    faulty = next((document for document in documents if document.name == place.document), None)
    if faulty is None and len(documents) == 1:
        faulty = documents[0]
    if faulty is None:
        return [*lines, ""]
    text = faulty.content.decode("utf-8", "backslashreplace")
    return [*lines, "", _where(faulty.name, place), *map(_styled, marked(text, place, width)), ""]


def _where(name: str, place: Place) -> str:
    parts = [printable(name)]
    if place.section is not None:
        parts.append(f"section {printable(place.section)}")
    if place.line is not None:
        parts.append(f"line {place.line}")
    if place.column is not None:
        parts.append(f"column {place.column}")
    return click.style(", ".join(parts), bold=True)


def _styled(line: MarkedLine) -> str:
    match line.kind:
        case LineKind.FAULT:
            return click.style(line.text, bold=True)
        case LineKind.CARET:
            return click.style(line.text, fg="red", bold=True)
        case LineKind.CONTEXT | LineKind.OMITTED:
            return line.text


def _traceback(text: str) -> list[str]:
    if not text:
        return []
    return [click.style("Traceback", bold=True), *(f"  {line}" for line in printable_lines(text.rstrip())), ""]


def _way_on(filed: FiledLetter) -> list[str]:
    if filed.state is not LetterState.OPEN:
        return []
    return [
        "",
        f"Mend it here:         ops dlq edit {filed.id}",
        f"Mended on disk:       ops dlq replay {filed.id} --from-disk --wait",
        f"Mended in the code:   ops dlq replay {filed.id} --dry-run, then with --wait",
        f"Give it up:           ops dlq discard {filed.id} --reason '…'",
    ]


def _document_json(document: Document) -> dict[str, Any]:
    digest = hashlib.sha256(document.content).hexdigest()
    size = len(document.content)
    return {"name": document.name, **content_in_json(document.content), "bytes": size, "sha256": digest}
