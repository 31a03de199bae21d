"""Connections with deadlines, no more of them than the process has descriptors for, and a log that
cannot be flooded.

uvicorn closes a connection that idles *between* two requests. One that never sends anything, sends
a byte now and then, or never reads its answer keeps its descriptor for ever; a few hundred of them
stop a server. Here each phase of a connection has a deadline of its own, which no byte moves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Deadlines", "QuietLog", "most_connections", "server_config"]

MOST_CONNECTIONS = 1000
SPARE_DESCRIPTORS = 100  # for files, the listening socket, and what else the process has open
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many "
    b"connections\n"
)


@dataclass(frozen=True)
class Deadlines:
    """Seconds until a connection is closed, for each thing it may be busy with.

    Attributes:
        head: from the connection, or the first byte of a further request, to the end of its head.
        request: from the end of the head until the answer is handed to the network.
        unread: from there until the client has taken it, idle time before a next request included.
    """

    head: float = 10.0
    request: float = 120.0
    unread: float = 30.0

    def __post_init__(self) -> None:
        for name, seconds in vars(self).items():
            if seconds <= 0:
                raise ValueError(f"`{name}` must be above 0 seconds, got {seconds!r}")


def server_config(
    app: Any, *, deadlines: Deadlines | None = None, connections: int | None = None
) -> uvicorn.Config:
    """Return uvicorn's configuration for ``app``: deadlines, a limit of connections, no access log.

    Args:
        app: the application.
        deadlines: None: the defaults.
        connections: open at once; a further one is answered 503. None: ``most_connections()``.
    """
    most = most_connections() if connections is None else connections
    return uvicorn.Config(
        app,
        http=_protocol(deadlines or Deadlines(), most),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )


def most_connections() -> int:
    """Return how many connections the process can hold open: a thousand, or what its descriptors
    allow.
    """
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, soft - SPARE_DESCRIPTORS))


def _protocol(deadlines: Deadlines, connections: int) -> type[asyncio.Protocol]:
    class Bound(_Connection):
        pass

    Bound.deadlines, Bound.most = deadlines, connections
    return Bound


class _Connection(H11Protocol):
    """uvicorn's protocol of a connection, with a deadline for each phase."""

    deadlines: Deadlines
    most: int

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._phase: Literal["new", "head", "request", "unread", "refused"] = "new"
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.most:
            self._phase, self.transport = "refused", transport
            self.logger.warning("more than %d connections at once: refused one", self.most)
            transport.write(_BUSY)
            transport.close()
            return
        super().connection_made(transport)
        self._enter("head", self.deadlines.head)

    def data_received(self, data: bytes) -> None:
        if self._phase == "refused":
            return
        if self._phase == "unread":  # a further request begins
            self._enter("head", self.deadlines.head)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        self._enter("unread", self.deadlines.unread)
        super().on_response_complete()
        self._follow()  # a further request may have waited in the buffer

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._phase != "refused":
            super().connection_lost(exc)

    def _follow(self) -> None:
        if self._phase != "request" and self.cycle is not None and not self.cycle.response_complete:
            self._enter("request", self.deadlines.request)

    def _enter(self, phase: Literal["head", "request", "unread"], seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._phase = phase
        # not close(), which waits until a client that reads nothing has read everything
        self._timer = self.loop.call_later(seconds, self.transport.abort)


class QuietLog(logging.Filter):
    """Lets ``most`` records through in any ``seconds``, and then says how many it held back.

    Args:
        most: records in one period.
        seconds: length of a period.
        clock: seconds, rising.
    """

    def __init__(
        self, most: int = 20, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._most, self._seconds, self._clock = most, seconds, clock
        self._began = clock()
        self._passed = self._held = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if now - self._began >= self._seconds:
            if self._held:
                record.msg = f"({self._held:,} messages like this were held back) {record.msg}"
            self._began, self._passed, self._held = now, 0, 0
        if self._passed < self._most:
            self._passed += 1
            return True
        self._held += 1
        return False
