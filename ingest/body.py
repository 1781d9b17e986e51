"""Reads one request's body within its limits. In: ASGI receive. Out: the decoded bytes of a JSON document.

Content types are hints only: a beacon sends text/plain, a form, or none at all. Nothing is held after an error.
"""

from __future__ import annotations

import asyncio
import zlib
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from schema.errors import InvalidBody, SlowSender, TooLarge, UnsupportedEncoding
from schema.settings import Settings

_GZIP = b"\x1f\x8b"
_FORM_FIELDS = (b"data", b"events", b"payload")


def headers(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; of a repeated one the last."""
    return dict(scope["headers"])


def announced(header: dict[bytes, bytes], limit: int) -> int:
    """How many bytes may come: what Content-Length says, else the limit. Raises TooLarge before a byte is read."""
    length = header.get(b"content-length", b"")
    if not length.isdigit():
        return limit
    if len(length) > 18 or int(length) > limit:  # int() itself refuses thousands of digits
        raise TooLarge(f"The body has {length[:18].decode()} bytes; at most {limit} are accepted.")
    return int(length)


async def read(receive: Receive, header: dict[bytes, bytes], settings: Settings) -> bytes:
    """The body, decompressed and taken out of a form. Raises TooLarge, SlowSender, UnsupportedEncoding, InvalidBody.

    Whatever Content-Length said, a body over the limit is cut off while it is read.
    """
    limit = settings.body_bytes_max
    try:
        async with asyncio.timeout(settings.body_seconds_max):
            raw = await _receive(receive, limit)
    except TimeoutError:
        raise SlowSender(f"The body did not arrive within {settings.body_seconds_max:g} seconds.") from None
    encoding = header.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b""):
        raise UnsupportedEncoding
    if encoding == b"gzip" or raw.startswith(_GZIP):
        raw = gunzip(raw, limit)
    if raw[:1] not in (b"{", b"[") and b"x-www-form-urlencoded" in header.get(b"content-type", b""):
        raw = _from_form(raw)
    return raw


def gunzip(raw: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes. Raises TooLarge for a bomb, InvalidBody for a torn or foreign stream."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(raw, limit + 1)
    except zlib.error:
        raise InvalidBody("The body says that it is gzip, but it is not.") from None
    if len(out) > limit:
        raise TooLarge(f"The body is more than {limit} bytes once decompressed.")
    if not unpacker.eof:
        raise InvalidBody("The gzip stream ends too early.")
    return out


async def _receive(receive: Receive, limit: int) -> bytes:
    message = await receive()
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body") and size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidBody("The sender left before the body was complete.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > limit:
        raise TooLarge(f"The body has more than {limit} bytes.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _from_form(raw: bytes) -> bytes:
    try:
        fields = parse_qs(raw, max_num_fields=100)
    except ValueError:
        raise InvalidBody("The form has too many fields.") from None
    for name in _FORM_FIELDS:
        if name in fields:
            return fields[name][0]
    raise InvalidBody("A form must carry the JSON batch in a field named data.")
