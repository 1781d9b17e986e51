"""The accept path's reference: an ASGI app that reads the body and answers 202, and does nothing else.

In: any request. Out: 202 with a body as long as a receipt, so that both servers write the same number of bytes.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

_BODY = b'{"accepted":10,"rejected":[],"batch_id":"01a1fc77-3309-70d3-b002-54b783876717","durability":"fsync"}'
_START = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read all, answer."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    b"".join(parts)
    await send(_START)
    await send(_END)


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
