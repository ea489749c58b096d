"""An endpoint that Prometheus scrapes; a port that is taken costs the metrics, never the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client import Metric as Family

from shared import __version__
from shared.errors import SettingsError
from shared.metrics.metric import Collector, Kind, Metric
from shared.settings import Settings

_AGAIN_AFTER_S: Final = 10.0
_HIGHEST_PORT: Final = 65_535

BUILD: Final = Metric("runferry_build_info", Kind.GAUGE, "1, with the version of runferry.", ("version",))

log = structlog.get_logger(__name__)


class Endpoint:
    """One endpoint on `port`; `tend` opens it, and tries again now and then while somebody else has the port."""

    def __init__(self, collector: Collector, host: str, port: int) -> None:
        self._registry = registry_of(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._host = host
        self._port = port
        self._served: tuple[WSGIServer, Thread] | None = None
        self._not_before_s = 0.0
        self._told = False

    def tend(self) -> None:
        """See to it that the endpoint is open; never raises."""
        if self._served is not None or time.monotonic() < self._not_before_s:
            return
        try:
            self._served = start_http_server(self._port, self._host, self._registry)
        except (OSError, UnicodeError) as error:  # the second: a host that can't be a name
            self._not_before_s = time.monotonic() + _AGAIN_AFTER_S
            if not self._told:
                self._told = True
                log.warning(
                    "no metrics: the port can't be had, trying again",
                    host=self._host,
                    port=self._port,
                    error=str(error),
                )
        else:
            log.info("metrics", host=self._host, port=self._port)

    @property
    def is_open(self) -> bool:
        """Whether it can be scraped."""
        return self._served is not None

    def close(self) -> None:
        """Give the port back."""
        served, self._served = self._served, None
        if served is not None:
            server, thread = served
            server.shutdown()
            server.server_close()
            thread.join()


def registry_of(collector: Collector) -> CollectorRegistry:
    """Return a registry of the collector and the version."""
    registry = CollectorRegistry()
    registry.register(collector)
    registry.register(_Build())
    return registry


def endpoint(settings: Settings, collector: Collector, place: int) -> Endpoint | None:
    """Return the endpoint of a process, or None where metrics are off.

    `place` 0 is the system's, worker processes have the places from 1 on, each the next port. Raises SettingsError
    where that is no port.
    """
    if not settings.metrics_port:
        return None
    port = settings.metrics_port + place
    if port > _HIGHEST_PORT:
        raise SettingsError(
            f"RUNFERRY_METRICS_PORT: with {place} processes above it, {port} would be no port any more."
        )
    return Endpoint(collector, settings.metrics_host, port)


class _Build:
    def collect(self) -> Iterator[Family]:
        yield BUILD.of([((__version__,), 1)])
