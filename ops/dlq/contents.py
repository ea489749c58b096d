"""Contents: what a letter carries, as documents or as the bytes that came."""

from __future__ import annotations

from shared.contract import OutputBody
from shared.dead_letters.evidence import output_of
from shared.dead_letters.letter import DeadLetter
from shared.documents import Document


def output_in(letter: DeadLetter) -> OutputBody | None:
    """Return the output that died, None where the letter holds a message that could not be read."""
    if letter.stage == 0:
        return None
    try:
        return output_of(letter.payload)
    except ValueError:
        return None


def documents_in(output: OutputBody) -> tuple[Document, ...]:
    """Return an output's documents; one whose base64 is broken comes as the text that it is."""
    documents = []
    for body in output.documents:
        try:
            documents.append(body.document())
        except ValueError:
            documents.append(Document(body.name, (body.base64 or "").encode("utf-8", "backslashreplace")))
    return tuple(documents)
