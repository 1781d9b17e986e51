"""Runs one of our ASGI apps under uvicorn. In: an app, settings, perhaps a listening socket. Out: HTTP.

Whoever starts us may hold that socket: connections then wait, and are not refused, while this process restarts.

uvicorn waits for ever for a request's headers, of any size; here a connection that has not sent a whole request head
in time is closed, and one that sends too much of it is refused (the body has its own limits, ingest/body.py).
Forwarding headers are not believed: a client's address is the peer's. On SIGTERM requests under way are answered first.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schema.errors import ConfigError
from schema.hosting import ABORT, ENDING
from schema.settings import Settings

_BACKLOG = 2048
_HEAD_BYTES_MAX = 65_536
_REFUSAL = b'{"code":"head_too_large","message":"The request\'s headers have more than 65536 bytes."}'
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_REFUSAL), _REFUSAL)
)


class Whole:
    """A transport that sends at once what one turn of the loop writes.

    uvicorn writes a response's head and body apart: two system calls, two packets, and a tenth of a request's time.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))


class Deadline(HttpToolsProtocol):
    """uvicorn's protocol, which also gives up on a request head that does not arrive, or does not end."""

    head_seconds_max: float = 10.0
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _head_end = b""  # the last bytes that came: the blank line may come in two pieces

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Whole(transport, self.loop))  # type: ignore[arg-type]  # it has all that is asked of it
        self._expect_head()  # of the first request; between two, uvicorn's keep-alive limit holds

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_bytes + len(data) > _HEAD_BYTES_MAX and self._is_too_long(data):
                self.transport.write(_TOO_LONG)
                self.transport.close()
                return
            self._head_bytes += len(data)
            self._head_end = data[-3:]
        super().data_received(data)
        if self._in_head and self._head_bytes and self._head_timer is None:  # most heads come whole, and need no timer
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._forget_head()
        self._in_head = False
        cast(dict[str, Any], self.scope)[ABORT] = self.transport.abort
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes, self._head_end = True, 0, b""
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _is_too_long(self, data: bytes) -> bool:
        end = (self._head_end + data).find(b"\r\n\r\n")
        return end < 0 or self._head_bytes + end > _HEAD_BYTES_MAX

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds_max, self._give_up)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which writes a byte to `started_fd` once it accepts connections."""

    started_fd: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started_fd is not None and self.started:
            os.write(self.started_fd, b".")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn waits for every answer: those that would go on for ever are told to end."""
        for end in self.lifespan.state.get(ENDING, ()):
            end()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """The listening socket. Raises ConfigError, naming port and setting, when somebody has it already."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {settings.port} on {settings.host} is taken: "
                "stop what listens there, or set TRIPSTREAM_PORT to another port"
            ) from None
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "set TRIPSTREAM_HOST or TRIPSTREAM_PORT"
        ) from None
    return listener


def serve(app: ASGIApp, settings: Settings, descriptor: int | None = None, started_fd: int | None = None) -> None:
    """Serve `app` until SIGTERM or SIGINT, on the inherited socket `descriptor` or one of its own.

    `started_fd` is an inherited pipe: what is said there is of this process, where the socket may be shared by many.
    """
    listener = listen(settings) if descriptor is None else socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=type("Protocol", (Deadline,), {"head_seconds_max": settings.body_seconds_max}),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=15,
        backlog=_BACKLOG,
    )
    server = _Server(config)
    server.started_fd = started_fd
    server.run(sockets=[listener])
