"""The plain ASGI around every ingest route: method, CORS, limits, errors. In: scope and receive. Out: one response.

An answer is complete JSON with a length; an error is `{"code", "message"}` and never holds a stack or a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from starlette.types import Receive, Scope, Send

from ingest import body, metrics
from ingest.gate import Gate
from schema.errors import InvalidBody, TooLarge, TripstreamError, Unauthorized
from schema.settings import Settings

Answer = tuple[int, bytes]
Header = tuple[bytes, bytes]
Handler = Callable[[Scope, dict[bytes, bytes], bytes], Awaitable[Answer]]
encode = msgspec.json.Encoder().encode
_BLAMED_BYTES = 4096  # for which a refused body is charged one event
logger = logging.getLogger("tripstream.ingest")

_PREFLIGHT = (
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, content-encoding, authorization, x-write-key, apikey"),
    (b"access-control-max-age", b"86400"),
)


class Route:
    """One POST route. `handler` gets scope, headers and the whole body, and answers status and JSON. `sdk`: SDKs that
    are not ours post to it, with larger bodies and headers of their own."""

    def __init__(self, gate: Gate, settings: Settings, handler: Handler, *, sdk: bool = False) -> None:
        self._gate = gate
        self._settings = settings
        self._handler = handler
        self._sdk = sdk
        self._limit = settings.sdk_body_bytes_max if sdk else settings.body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = body.headers(scope)
        if scope["method"] != "POST":
            await _refuse_method(scope, header, send, self._sdk)
            return
        retry_after = None
        try:
            status, payload = await self._handle(scope, header, receive)
        except TripstreamError as error:
            status, payload = error.status, encode({"code": error.code, "message": error.message})
            retry_after = error.retry_after_seconds
        except Exception:
            logger.exception("unexpected error while accepting")
            status, payload = (
                500,
                encode({"code": "internal", "message": "Something went wrong; nothing was accepted."}),
            )
        metrics.requests_of(status).inc()
        await _respond(send, status, payload, cors(header, self._sdk), retry_after)

    async def _handle(self, scope: Scope, header: dict[bytes, bytes], receive: Receive) -> Answer:
        limit = self._limit
        body.refuse_announced(header, limit)
        host = (scope.get("client") or ("",))[0]
        network = self._gate.enter(host)
        held = 0
        try:
            raw = await body.receive_all(receive, self._gate, self._settings, limit)
            held = len(raw)
            if self._sdk:
                self._gate.rates.refuse_blamed(host)
            raw = body.unpack(raw, header, limit)
            if len(raw) > held:  # it was gzip
                self._gate.take(len(raw) - held)
                held = len(raw)
            if b"authorization" in header:
                await self._gate.tokens.look(scope, header)
            return await self._answer(scope, header, raw)
        except (InvalidBody, TooLarge, Unauthorized) as error:
            if self._sdk:  # a few KB of theirs are megabytes to look at, also for who has no key
                size = limit if isinstance(error, TooLarge) else held
                self._gate.rates.blame(host, 1 + size // _BLAMED_BYTES)
            raise
        finally:
            self._gate.give(held)
            self._gate.leave(network)

    async def _answer(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Answer:
        try:
            return await self._handler(scope, header, raw)
        except Unauthorized:
            if not await self._gate.knows_better():
                raise
        return await self._handler(scope, header, raw)


def cors(header: dict[bytes, bytes], reflect: bool) -> list[Header]:
    """Any origin may read the answer, and no cookie is ever looked at: a site's own list is checked at accept.

    `reflect`: SDKs and beacons send credentials, and browsers then want the origin itself and not a star.
    """
    if b"origin" not in header:
        return []
    exposed = (b"access-control-expose-headers", b"retry-after")
    if not reflect:
        return [(b"access-control-allow-origin", b"*"), exposed]
    allowed = [(b"access-control-allow-origin", header[b"origin"]), (b"access-control-allow-credentials", b"true")]
    return [*allowed, (b"vary", b"origin"), exposed]


def preflight(header: dict[bytes, bytes], reflect: bool) -> list[Header]:
    """What a browser may send next: whatever headers it asks for besides ours, as each client has its own, supabase-js
    too."""
    allowed = [*_PREFLIGHT, *cors(header, reflect)]
    name, ours = allowed[1]
    asked = header.get(b"access-control-request-headers")
    if asked:
        allowed[1] = (name, asked if reflect else ours + b", " + asked)
    return allowed


async def _refuse_method(scope: Scope, header: dict[bytes, bytes], send: Send, reflect: bool) -> None:
    if scope["method"] == "OPTIONS":
        await _respond(send, 204, b"", preflight(header, reflect))
        return
    refusal = encode({"code": "method_not_allowed", "message": "Post events here."})
    await _respond(send, 405, refusal, [(b"allow", b"POST, OPTIONS"), *cors(header, reflect)])


async def _respond(
    send: Send,
    status: int,
    payload: bytes,
    extra: Iterable[Header],
    retry_after: int | None = None,
) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(payload)), *extra]
    if status in (408, 413):  # the rest of the body is on its way and will not be read
        headers.append((b"connection", b"close"))
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})
