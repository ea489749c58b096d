"""Log lines: for people on a terminal, JSON elsewhere, with run id and message id, never with a password."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog

from shared.secrets import hider
from shared.settings import LogFormat, Settings

#: Their lines below this level tell of their own machinery only.
_QUIET: Final = {
    "asyncio": logging.WARNING,
    "dramatiq": logging.INFO,
    # A traceback for each connection that it can't open ahead of need; who needs one says so.
    "asyncpg.pool": logging.ERROR,
}


def _none() -> Mapping[str, str]:
    return {}


def configure(
    settings: Settings, stream: TextIO | None = None, *, ids: Callable[[], Mapping[str, str]] = _none
) -> None:
    """Send runferry's log lines, and those of every library, to `stream` (stderr).

    `ids` is asked for each line; what it returns stands in the line, unless the line says it itself.
    """

    def with_ids(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in ids().items():
            event.setdefault(name, value)
        return event

    hide = hider(settings)

    def without_passwords(_logger: Any, _method: str, line: Any) -> str:
        # The last processor: what it gets is the line, so that no traceback or fact slips past it.
        return hide(line)

    stream = stream or sys.stderr
    people = settings.log_format is LogFormat.TEXT or (settings.log_format is LogFormat.AUTO and stream.isatty())
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        with_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *([] if people else [structlog.processors.format_exc_info]),
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if people
        else structlog.processors.JSONRenderer(serializer=_json),
        without_passwords,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; the first argument of its methods is the event, facts are keywords."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def report_uncaught() -> None:
    """Have what nobody catches, in any thread, become a log line like the others; for processes that nobody watches."""
    log = get_logger("uncaught")

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("the process ends by an error", exc_info=(kind, error, trace))

    def of_thread(uncaught: threading.ExceptHookArgs) -> None:
        if uncaught.exc_value is not None and not issubclass(uncaught.exc_type, SystemExit):
            error = (uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
            log.critical("a thread ends by an error", thread=getattr(uncaught.thread, "name", ""), exc_info=error)

    sys.excepthook = of_process
    threading.excepthook = of_thread


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
