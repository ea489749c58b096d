"""Backfill: carries what is on disk to the queue, and where asked follows it to its end. The composition root.

One thread reads and publishes, a second one of the broker sends; the event loop of the main thread listens for
deliveries, watches over the workers and shows how far it is.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Final
from uuid import uuid4

from producers.back_pressure import HighWater
from producers.database import Database, OutputKey
from producers.delivery_watch import DeliveryWatch
from producers.feed import Feed, Selection, Sink
from producers.following import Follower, GaveUpError
from producers.identity import publisher_name
from producers.options import BackfillOptions
from producers.outcome import Outcome, exit_status
from producers.packing import Sender
from producers.progress import Reporter, make_reporter
from producers.publisher import Publisher, StoppedError
from producers.sinks import Ask, DryRunSink, Outbound, PublishSink
from producers.summary import text, write_json
from producers.tally import Tally
from producers.worker_processes import WorkerProcesses
from shared.broker.broker import RunferryBroker, make_broker
from shared.collecting import collect_rarely
from shared.command import first_and_last, print_lines, say
from shared.errors import DatabaseAway, QueueAway
from shared.ids import RunId
from shared.printable import briefly
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings
from shared.stores import Stores, own_tree_notice, refuse_examples, resolve_stores

_RETRY_S: Final = 1.0
_STOP_WORKERS_GRACE_S: Final = 5.0


def run_backfill(options: BackfillOptions, settings: Settings, *, as_json: bool) -> int:
    """Run one backfill, print its summary, and return the exit status."""
    collect_rarely()
    scanner = Scanner(options.root, Limits(options.settle_s, settings.max_output_bytes), share=options.share)
    scanner.check_root()
    with closing(Tally()) as tally:
        backfill = _Backfill(options, settings, scanner, tally)
        if options.dry_run:
            return _print(options, tally, asyncio.run(backfill.dry_run()), as_json=as_json)
        stores = resolve_stores(settings)
        refuse_examples(options.root, stores)
        with first_and_last(own_tree_notice(options.root, stores)):
            try:
                outcome = asyncio.run(backfill.run(stores))
            except KeyboardInterrupt:
                # It came while own workers were ended: what became of the outputs is known, and is told.
                if backfill.outcome is None:
                    raise
                outcome = backfill.outcome
            return _print(options, tally, outcome, as_json=as_json)


def _print(options: BackfillOptions, tally: Tally, outcome: Outcome, *, as_json: bool) -> int:
    if as_json:
        write_json(sys.stdout.buffer, options, tally, outcome)
    else:
        print_lines(text(options, tally, outcome))
    return exit_status(options, tally, outcome)


class _Backfill:
    """The parts of one backfill, put together for a dry run or a real one."""

    def __init__(self, options: BackfillOptions, settings: Settings, scanner: Scanner, tally: Tally) -> None:
        self._options = options
        self._settings = settings
        self._scanner = scanner
        self._tally = tally
        self._stop = threading.Event()
        self._batch_id = f"backfill-{uuid4()}"
        self._total: int | None = len(options.run_ids) or None
        self._start_s = time.monotonic()
        self.outcome: Outcome | None = None

    async def dry_run(self) -> Outcome:
        """Map everything and publish nothing."""
        feed = self._feed(DryRunSink(self._tally))
        with _reporting() as reporter:
            follower = Follower(
                feed,
                self._tally,
                reporter,
                total=lambda: self._total,
                worker_timeout_s=self._options.worker_timeout_s,
            )
            return await self._drive(feed, follower, None)

    async def run(self, stores: Stores) -> Outcome:
        """Publish, and follow where asked; raises UsageError and RetryableError where it can't begin."""
        options, settings = self._options, self._settings
        broker = make_broker(stores.redis_url, settings)
        heard, asked = Database(stores.database, settings), Database(stores.database, settings)
        workers: WorkerProcesses | None = None
        try:
            await heard.check_schema()
            await asyncio.to_thread(broker.depths)
            user_id = None if options.user_id is None else await heard.user_id(options.user_id)
            sender = Sender(self._batch_id, publisher_name(), user_id, options.prefer)
            publisher = self._publisher(broker)
            outbound = Outbound() if options.follows else None
            sink = PublishSink(
                sender,
                publisher,
                self._tally,
                max_message_bytes=settings.max_message_bytes,
                outbound=outbound,
                accounted=self._accounted(asked, publisher) if options.resume else None,
                applied=self._applied(asked),
            )
            feed = self._feed(sink)
            if options.run_workers is not None:
                workers = self._start_workers(options.run_workers, stores)
            with _reporting() as reporter:
                if workers is not None:
                    reporter.note(f"Workers run with this command; their log is {briefly(workers.log)}")
                follower = Follower(
                    feed,
                    self._tally,
                    reporter,
                    total=lambda: self._total,
                    broker=broker,
                    publisher=publisher,
                    outbound=outbound,
                    watch=None
                    if outbound is None
                    else DeliveryWatch(heard, self._batch_id, outbound, self._tally),
                    workers=workers,
                    worker_timeout_s=options.worker_timeout_s,
                )
                return await self._drive(feed, follower, outbound)
        finally:
            if workers is not None:
                workers.stop(settings.drain_timeout.total_seconds() + _STOP_WORKERS_GRACE_S)
            await heard.close()
            await asked.close()
            broker.close()

    async def _drive(self, feed: Feed, follower: Follower, outbound: Outbound | None) -> Outcome:
        """Run feed and follower to their end, or until the user or the follower has had enough."""
        loop = asyncio.get_running_loop()
        interrupted, failure = False, None
        counting = loop.create_task(self._count())
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as thread, _terminable(loop):
            feeding = loop.run_in_executor(thread, feed.run)
            try:
                await follower.follow(feeding)
            except GaveUpError as gave_up:
                failure = str(gave_up)
            except asyncio.CancelledError:
                interrupted = True
            except BaseException:
                # The feed's thread may be waiting for this loop, which must not wait for the thread.
                self._stop.set()
                await asyncio.wait([feeding])
                raise
            self._stop.set()
            try:
                await feeding
            except StoppedError:
                pass
            except QueueAway as away:
                if not self._tally.published:
                    raise
                failure = failure or str(away)
            finally:
                counting.cancel()
        self.outcome = Outcome(
            seconds=time.monotonic() - self._start_s,
            batch_id=self._batch_id,
            in_flight=len(outbound) if outbound is not None else 0,
            interrupted=interrupted,
            failure=failure,
        )
        return self.outcome

    async def _count(self) -> None:
        """Find out how many runs there are, while they are read already."""
        if not self._options.run_ids:
            total = await asyncio.to_thread(self._scanner.count)
            self._total = min(total, self._options.limit or total)

    def _feed(self, sink: Sink) -> Feed:
        return Feed(
            self._scanner,
            Selection(self._options.run_ids, self._options.limit),
            sink,
            self._tally,
            stop=self._stop,
            awaits_settling=self._options.wait or self._options.run_workers is not None,
            settle_s=self._options.settle_s,
        )

    def _publisher(self, broker: RunferryBroker) -> Publisher:
        return Publisher(
            broker,
            HighWater.of(self._settings),
            stop=self._stop,
            give_up_after_s=self._options.worker_timeout_s,
            rate_per_s=self._options.rate_per_s,
        )

    def _accounted(self, database: Database, publisher: Publisher) -> Ask:
        """Return a way for the feed's thread to ask the database, which belongs to this loop.

        It waits for a database that is away, and before that for what the publisher has underway.
        """
        loop = asyncio.get_running_loop()

        def ask(run_ids: Sequence[RunId]) -> frozenset[OutputKey]:
            while True:
                try:
                    return asyncio.run_coroutine_threadsafe(database.accounted(run_ids), loop).result()
                except DatabaseAway:
                    publisher.finish()
                    if self._stop.wait(_RETRY_S):
                        raise StoppedError from None

        return ask

    def _applied(self, database: Database) -> Ask:
        """Return a way to ask what is in the rows; it is a hint, so a database that is away is not waited for."""
        loop = asyncio.get_running_loop()
        is_away = False

        def ask(run_ids: Sequence[RunId]) -> frozenset[OutputKey]:
            nonlocal is_away
            if is_away:
                return frozenset()
            try:
                return asyncio.run_coroutine_threadsafe(database.applied(run_ids), loop).result()
            except DatabaseAway:
                is_away = True
                return frozenset()

        return ask

    def _start_workers(self, processes: int, stores: Stores) -> WorkerProcesses:
        environment = {
            "DATABASE_URL": stores.database.url,
            "REDIS_URL": stores.redis_url,
            "RUNFERRY_ROOT": str(self._options.root.absolute()),
        }
        log = self._settings.home.absolute() / "logs" / f"{self._batch_id}.log"
        return WorkerProcesses.start(processes, log, environment)


@contextmanager
def _reporting() -> Iterator[Reporter]:
    reporter = make_reporter(say)
    try:
        yield reporter
    finally:
        reporter.close()


@contextmanager
def _terminable(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let SIGTERM end the backfill as cleanly as Ctrl-C does."""
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
