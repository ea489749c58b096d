"""Nothing that a message, a row, a folder or an archive says leads out of the root."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from writing_bench import outputs, trends

from ops.backup.manifest import NAME, read_manifest
from ops.export.exporting import Unexportable, _output_of
from ops.restore.extraction import Extraction
from producers import StageStore
from producers.emitter import Emitter
from producers.stage_store.replacing import replace_output, stage_folder_to_write
from shared.contract import OutputBody, to_wire
from shared.documents import Document
from shared.errors import Malformed, UsageError
from shared.ids import RunId, Stage, parse_run_id
from shared.reasons import Reason
from shared.run_folders.intent import INTENT_NAME
from shared.run_folders.scanned import FaultKind
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Phase, Settings
from workers.intake import Consignment, Intake, Undeliverable, take_in

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONSIGNMENT = Consignment("message", "backfill", 1, NOW)
RUN_IDS = (
    *("", ".", "..", "../evil", "../../evil", "/etc", "a/b", "a\\b", "..\\evil"),
    *("a\nb", "a\0b", "\x1b[31mred", "a\u2028b", "x" * 256, "é" * 128, "\ud800"),
)
NAMES = (
    *("", ".", "..", "../evil.md", "../../evil.md", "/evil.md", "a/b.md", "..", ".hidden.md", INTENT_NAME),
    *("a\0b.md", "x" * 253 + ".md", "é" * 127 + ".md"),
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root beside which there is something that must stay as it is."""
    outside = tmp_path / "outside"
    (outside / "stage2").mkdir(parents=True)
    (outside / "stage2" / "secret.md").write_text("secret")
    made = tmp_path / "root"
    made.mkdir()
    before = _seen(tmp_path, made)
    yield made
    assert _seen(tmp_path, made) == before, "something outside of the root was changed"


@pytest.fixture
def store(root: Path) -> Iterator[StageStore]:
    settings = Settings.from_environment(root=root, home=root / ".home", phase=Phase.FILES_ONLY)
    with StageStore(settings) as made:
        yield made


def _seen(folder: Path, but: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
        if but not in (path, *path.parents)
    }


def _scanned(root: Path, run_id: str) -> Any:
    (run,) = Scanner(root, Limits(settle_s=0.0, max_output_bytes=1_000_000)).named([run_id])
    return run


@pytest.mark.parametrize("run_id", RUN_IDS, ids=ascii)
def test_a_run_id_that_is_no_folder_name_is_refused_wherever_it_comes_from(
    root: Path, store: StageStore, run_id: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_run_id(run_id)
    assert refusal.value.reason is Reason.RUN_ID
    with pytest.raises(Malformed):
        store.write(run_id, 2, {"a.md": "text"})
    with pytest.raises(Malformed):
        store.read(run_id, 2)
    nowhere = Settings.from_environment(redis_url="redis://127.0.0.1:1/0", home=root / ".home")
    with Emitter(nowhere) as emitter, pytest.raises(Malformed):
        emitter.emit(run_id, 2, {"a.md": "text"})
    assert [fault.kind for fault in _scanned(root, run_id).faults] == [FaultKind.NAME]
    taken = take_in(to_wire(outputs(run_id, (2, trends(), 0))), CONSIGNMENT, max_output_bytes=1_000_000)
    assert isinstance(taken, Undeliverable)
    assert {letter.evidence.reason for letter in taken.letters} == {Reason.RUN_ID}
    row = {"run_id": run_id, "stage": 2, "content_sha256": "0" * 64}
    assert isinstance(_output_of(row), Unexportable)
    assert list(root.rglob("*.md")) == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_document_name_that_is_no_file_of_the_stage_is_refused_wherever_it_comes_from(
    root: Path, store: StageStore, name: str
) -> None:
    with pytest.raises(UsageError, match="no document's name"):
        store.write("run-a", 2, {"good.md": "text", name: "text"})
    for documents in ((Document(name, b"text"),), (Document("good.md", b"text"), Document(name, b"text"))):
        # What `ops export` does with names that rows gave back.
        with pytest.raises(Malformed):
            replace_output(stage_folder_to_write(root, RunId("run-a"), Stage(2)), documents, NOW)
        wire = to_wire(outputs("run-a", (2, trends(), 0)))
        wire["outputs"] = [OutputBody.of(Stage(2), documents, NOW).model_dump(mode="json", exclude_none=True)]
        taken = take_in(wire, CONSIGNMENT, max_output_bytes=1_000_000)
        assert isinstance(taken, Intake)
        assert [bad.malformed.reason for bad in taken.bad] in ([Reason.MESSAGE], [Reason.UNSTORABLE_TEXT])
        assert taken.good == ()
    assert not (root / "run-a").exists()


@pytest.mark.parametrize("linked", ["run-a", "run-a/stage2"])
def test_a_link_out_of_the_root_is_neither_read_nor_written_through(
    root: Path, store: StageStore, linked: str
) -> None:
    outside = root.parent / "outside"
    link = root / linked
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside if linked == "run-a" else outside / "stage2")
    assert [fault.kind for fault in _scanned(root, "run-a").faults] == [FaultKind.OUTSIDE_ROOT]
    with pytest.raises(UsageError, match="out of the root"):
        store.read("run-a", 2)
    with pytest.raises(UsageError, match="out of the root"):
        store.write("run-a", 2, {"a.md": "text"})
    with pytest.raises(UsageError, match="out of the root"):
        stage_folder_to_write(root, RunId("run-a"), Stage(2))


def test_a_link_that_stays_in_the_root_is_written_through(root: Path, store: StageStore) -> None:
    (root / "run-a").mkdir()
    (root / "run-b").symlink_to("run-a")
    store.write("run-b", 2, {"a.md": "text"})
    assert (root / "run-a" / "stage2" / "a.md").read_text() == "text"


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mtime = kind, target, 1_000_000_000
    member.size = 4 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_member("../outside/stage2/secret.md")],
        [_member("run/../../outside/stage2/secret.md")],
        [_member("link", tarfile.SYMTYPE, "../outside"), _member("link/stage2/secret.md")],
        [_member("link", tarfile.SYMTYPE, "{outside}"), _member("link/stage2/secret.md")],
        [_member("link", tarfile.LNKTYPE, "../outside/stage2/secret.md"), _member("link")],
        [_member("a", tarfile.SYMTYPE, "."), _member("a/b", tarfile.SYMTYPE, ".."), _member("a/b/outside/evil")],
        [_member("{outside}/stage2/secret.md")],
        [_member("pipe", tarfile.FIFOTYPE)],
        [_member("device", tarfile.CHRTYPE)],
        [_member("d/" * 3000 + "evil")],
    ],
    ids=lambda members: "+".join(member.name[:30] for member in members),
)
def test_an_archive_writes_nothing_outside_of_its_folder(root: Path, members: list[tarfile.TarInfo]) -> None:
    outside = str(root.parent / "outside")
    archive = root / "hostile.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for member in members:
            made = member.replace(deep=False, name=member.name.format(outside=outside))
            made.linkname = member.linkname.format(outside=outside)
            tar.addfile(made, io.BytesIO(b"evil"))
    target = root / "extracted"
    with suppress(UsageError):  # or what is hostile is left out
        Extraction(archive, target).appear()
    for path in target.rglob("*"):
        assert Path(os.path.realpath(path)).is_relative_to(target)
        assert path.is_symlink() or path.is_dir() or path.is_file()


def test_a_manifest_names_no_file_but_the_parts_of_its_backup(tmp_path: Path) -> None:
    part = {"name": "../../etc/passwd", "bytes": 1, "sha256": "0" * 64}
    document = {
        **{"format": 1, "name": "n", "made_at": "2026-01-02T00:00:00+00:00", "host": "h", "runferry": "0"},
        **{
            "database": {},
            "position": None,
            "tables": [],
            "parts": [part],
            "runs": None,
            "outbox": None,
            "queue": {},
        },
    }
    (tmp_path / NAME).write_text(json.dumps(document))
    with pytest.raises(UsageError, match="is no part of a backup"):
        read_manifest(tmp_path)
