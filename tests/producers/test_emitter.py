"""The emitter sends what a stage wrote, within its bound, whatever Redis does."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

import producers
from producers import AsyncEmitter, Emitter, Hints
from producers.command import main
from shared import queues
from shared.broker.broker import make_broker
from shared.broker.encoder import ENCODER
from shared.contract import Origin, RunFailed, RunStarted, StageOutputsMessage, message_adapter
from shared.documents import Document
from shared.errors import Malformed, QueueAway, SettingsError
from shared.ids import Stage
from shared.reasons import Reason
from shared.settings import Phase, Settings

BOUND_S = 1.0


def sent(settings: Settings) -> list[Any]:
    """Return what is in the live queue, oldest first, as messages of the contract."""
    assert settings.redis_url is not None
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        ids = client.lrange(f"{settings.namespace}:{queues.LIVE}", 0, -1)
        bodies = [client.hget(f"{settings.namespace}:{queues.LIVE}.msgs", found) for found in ids]
    envelopes = [ENCODER.decode(body) for body in bodies]
    assert {envelope["actor_name"] for envelope in envelopes} <= {queues.WRITE_LIVE}
    return [message_adapter.validate_python(envelope["kwargs"]["message"]) for envelope in envelopes]


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings that wait for a busy machine; where the bound is the claim, `bounded` sets it."""
    return settings.model_copy(update={"emit_timeout": timedelta(seconds=30)})


def bounded(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"emit_timeout": timedelta(seconds=BOUND_S), **changes})


def with_url(settings: Settings, url: str) -> Settings:
    return Settings.from_environment(redis_url=url, emit_timeout=timedelta(seconds=BOUND_S), root=settings.root)


def test_an_output_goes_to_the_live_queue_as_it_is(settings: Settings) -> None:
    with Emitter(settings, publisher="stage-2") as emitter:
        emitted = emitter.emit(
            "run-1",
            2,
            {"trends.json": '{"ü": 1}', "b.md": b"\xff"},
            hints=Hints(company_id="acme"),
            wants_receipt=True,
        )
    (message,) = sent(settings)
    assert isinstance(message, StageOutputsMessage)
    assert (message.run_id, message.origin, message.publisher) == ("run-1", Origin.PIPELINE, "stage-2")
    assert message.wants_receipt
    assert message.hints.company_id == "acme"
    (output,) = message.outputs
    assert [body.document() for body in output.documents] == [
        Document("b.md", b"\xff"),
        Document("trends.json", '{"ü": 1}'.encode()),
    ]
    assert emitted.published
    assert (emitted.content_sha256, emitted.produced_at) == (output.content_sha256, output.produced_at)
    assert abs(output.produced_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_later_output_is_always_stamped_later(settings: Settings) -> None:
    with Emitter(settings) as one, Emitter(settings) as other:
        moments = [emitter.emit("run-1", 2, {"a.md": "a"}).produced_at for emitter in (one, other) * 10]
    assert all(earlier < later for earlier, later in itertools.pairwise(moments))


def test_documents_may_be_given_as_documents_and_a_time_be_set(settings: Settings) -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    with Emitter(settings) as emitter:
        emitter.emit("run-1", Stage.TRENDS, [Document("a.md", b"a")], produced_at=moment)
    assert sent(settings)[0].outputs[0].produced_at == moment


def test_run_events_go_to_the_live_queue_in_order_of_time(settings: Settings) -> None:
    with Emitter(settings) as emitter:
        emitter.run_started("run-1", hints=Hints(user_id="user-1"))
        emitter.run_failed("run-1", "the model timed out")
    started, failed = sent(settings)
    assert isinstance(started, RunStarted)
    assert started.hints.user_id == "user-1"
    assert isinstance(failed, RunFailed)
    assert failed.error == "the model timed out"
    assert started.occurred_at < failed.occurred_at


def test_asyncio_has_the_same_emitter_and_its_loop_is_never_held(settings: Settings, silent_url: str) -> None:
    async def emit() -> float:
        async with AsyncEmitter(settings) as emitter:
            await asyncio.gather(*(emitter.emit(f"run-{number}", 2, {"a.md": "a"}) for number in range(10)))
            await emitter.run_started("run-1")
            await emitter.run_failed("run-1", "no")
        longest_s, last_s = 0.0, time.monotonic()
        async with AsyncEmitter(with_url(settings, silent_url)) as hanging:
            emitting = asyncio.ensure_future(hanging.emit("run-1", 2, {"a.md": "a"}))
            while not emitting.done():
                await asyncio.wait([emitting], timeout=0.01)
                longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
            with pytest.raises(QueueAway):
                await emitting
        return longest_s

    assert asyncio.run(emit()) < BOUND_S / 2
    assert len(sent(settings)) == 12


@pytest.mark.parametrize("kind", ["refused", "silent", "unknown_host"])
def test_an_absent_redis_is_told_within_the_bound(settings: Settings, silent_url: str, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    urls = {
        "refused": f"redis://127.0.0.1:{port}/0",
        "silent": silent_url,
        "unknown_host": "redis://nowhere.invalid/0",
    }
    with Emitter(with_url(settings, urls[kind])) as emitter:
        for call in (lambda: emitter.emit("run-1", 2, {"a.md": "a"}), lambda: emitter.run_started("run-1")):
            start_s = time.monotonic()
            with pytest.raises(QueueAway):
                call()
            assert time.monotonic() - start_s < BOUND_S + 0.3


def test_a_connection_that_died_meanwhile_costs_no_output(settings: Settings) -> None:
    assert settings.redis_url is not None
    with (
        Emitter(settings) as emitter,
        redis.Redis.from_url(settings.redis_url.get_secret_value()) as client,
    ):
        emitter.emit("run-1", 2, {"a.md": "a"})
        client.client_kill_filter(_type="normal", skipme=True)
        emitter.emit("run-1", 3, {"a.md": "a"})
    assert len(sent(settings)) == 2


def test_an_output_above_the_limit_is_refused_with_its_size(settings: Settings) -> None:
    with (
        Emitter(bounded(settings, max_output_bytes=1024)) as emitter,
        pytest.raises(Malformed, match="1,025") as caught,
    ):
        emitter.emit("run-1", 2, {"a.md": "a" * 1025})
    assert caught.value.reason is Reason.TOO_LARGE
    assert sent(settings) == []


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "a\nb"])
def test_a_run_id_that_is_no_folder_name_is_refused_at_once(settings: Settings, run_id: str) -> None:
    with Emitter(settings) as emitter:
        for call in (
            lambda: emitter.emit(run_id, 2, {"a.md": "a"}),
            lambda: emitter.run_started(run_id),
            lambda: emitter.run_failed(run_id, "no"),
        ):
            with pytest.raises(Malformed):
                call()


def test_content_is_not_judged(settings: Settings) -> None:
    with Emitter(settings) as emitter:
        assert emitter.emit("run-1", 1, {"inspirations.json": "{broken \ud800"}).published


def test_in_files_only_nothing_is_published_and_no_redis_is_needed() -> None:
    emitter = Emitter(Settings.from_environment(phase=Phase.FILES_ONLY))
    assert not emitter.emit("run-1", 2, {"a.md": "a"}).published
    assert not emitter.run_started("run-1").published
    assert not emitter.run_failed("run-1", "no").published


def test_without_a_redis_url_the_emitter_says_so_and_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        Emitter(Settings.from_environment(home=tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_neither_import_nor_construction_connects(silent_url: str) -> None:
    code = "import producers, socket; socket.socket.connect = None; producers.Emitter()"
    environment = {**os.environ, "REDIS_URL": silent_url}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_a_process_ends_at_once_though_redis_never_answered(silent_url: str) -> None:
    code = """if True:
        import producers, time
        from shared.errors import QueueAway
        emitter = producers.Emitter()
        try:
            emitter.emit("run-1", 2, {"a.md": "a"})
        except QueueAway:
            print(time.time(), flush=True)
    """
    environment = {**os.environ, "REDIS_URL": silent_url, "RUNFERRY_EMIT_TIMEOUT": "600ms"}
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, timeout=60, capture_output=True, text=True
    )
    assert time.time() - float(ended.stdout) < 5


def test_what_a_pipeline_imports_is_exported() -> None:
    assert {"Emitter", "AsyncEmitter", "Emitted", "Hints", "Document"} <= set(producers.__all__)


def run(settings: Settings, *arguments: str) -> Any:
    assert settings.redis_url is not None
    assert settings.database_url is not None
    urls = [
        "--redis-url",
        settings.redis_url.get_secret_value(),
        "--database-url",
        settings.database_url.get_secret_value(),
    ]
    return CliRunner().invoke(main, ["emit", *arguments, *urls])


def test_the_command_sends_files(settings: Settings, tree: Any) -> None:
    run_folder = tree.write("run-1", {"stage5/opportunity-1.md": "# One"})
    result = run(settings, "run-1", "5", "opportunity-1.md", "--root", str(tree.root))
    assert result.exit_code == 0, result.output
    result = run(settings, "run-2", "5", str(run_folder / "stage5/opportunity-1.md"), "--json")
    assert result.exit_code == 0, result.output
    assert [(message.run_id, message.outputs[0].documents[0].name) for message in sent(settings)] == [
        ("run-1", "opportunity-1.md"),
        ("run-2", "opportunity-1.md"),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run-1", "5", "gone.md"], "no file"),
        (["run-1", "5", "notes.txt"], "no document"),
        (["run-1", "5", "a/x.md", "b/x.md"], "same name"),
        (["run-1", "6", "x.md"], "6"),
        (["a/b", "5", "a/x.md"], "path separator"),
        (["run-1", "5"], "FILE"),
    ],
)
def test_the_command_refuses_mistakes_with_a_sentence(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    result = run(settings, *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output
    assert sent(settings) == []


def test_the_emitters_broker_is_not_dramatiqs_global_one(settings: Settings) -> None:
    assert settings.redis_url is not None
    broker = make_broker(settings.redis_url.get_secret_value(), settings)
    with Emitter(settings) as emitter:
        emitter.emit("run-1", 2, {"a.md": "a"})
    assert broker.depths()[queues.LIVE].waiting == 1
    broker.close()
