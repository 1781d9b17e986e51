"""Reads one request's body within its limits. In: ASGI receive. Out: the decoded bytes of a JSON document.

Content types are hints only: a beacon sends text/plain, a form, or none at all; curl says form whatever it sends.
Nothing is held after an error.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from ingest.gate import Gate
from schema.errors import InvalidBody, SlowSender, TooLarge, UnsupportedEncoding
from schema.settings import Settings

GZIP = b"\x1f\x8b"
_MEMBERS_MAX = 16
_MARK = b"\xef\xbb\xbf"
_JSON = (b"{", b"[")
_FORM_FIELDS = ("data", "events", "payload")


def headers(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; of a repeated one the last."""
    return dict(scope["headers"])


def refuse_announced(header: dict[bytes, bytes], limit: int) -> None:
    """Raises TooLarge before a byte is read where Content-Length says that there will be too many."""
    length = header.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 18 or int(length) > limit):  # int() itself refuses thousands of digits
        raise TooLarge(f"The body has {length[:18].decode()} bytes; at most {limit} are accepted.")


async def receive_all(receive: Receive, gate: Gate, settings: Settings, limit: int) -> bytes:
    """The body as it was sent. Its bytes are taken from the gate as they come, and are the caller's to give back.

    Whatever Content-Length said, a body over the limit is cut off while it is read. Raises TooLarge, SlowSender, Busy,
    InvalidBody, and then nothing is left to give back.
    """
    task = asyncio.current_task()
    gate.reading[task] = time.monotonic()
    try:
        return await _receive(receive, gate, limit)
    except asyncio.CancelledError:
        if task is None or task not in gate.late:
            raise
        task.uncancel()
        raise SlowSender(f"The body did not arrive within {settings.body_seconds_max:g} seconds.") from None
    finally:
        del gate.reading[task]
        gate.late.discard(task)


def unpack(raw: bytes, header: dict[bytes, bytes], limit: int) -> bytes:
    """The body decompressed and taken out of a form. Raises TooLarge, UnsupportedEncoding, InvalidBody."""
    encoding = header.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip", b""):
        raise UnsupportedEncoding
    if encoding == b"gzip" or raw.startswith(GZIP):
        raw = gunzip(raw, limit)
    says_form = raw[:1] not in _JSON and b"x-www-form-urlencoded" in header.get(b"content-type", b"")
    # A byte order mark is refused as JSON, with the reason, and not as a form that lacks a field.
    if says_form and raw.removeprefix(_MARK).lstrip()[:1] not in _JSON:
        raw = _from_form(raw)
    return raw


def gunzip(raw: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes, of as many members as there are. Raises TooLarge for a bomb, InvalidBody for a
    torn or foreign stream."""
    out = b""
    for _ in range(_MEMBERS_MAX):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            out += unpacker.decompress(raw, limit + 1 - len(out))
        except zlib.error:
            raise InvalidBody("The body says that it is gzip, but it is not.") from None
        if len(out) > limit:
            raise TooLarge(f"The body is more than {limit} bytes once decompressed.")
        if not unpacker.eof:
            raise InvalidBody("The gzip stream ends too early.")
        raw = unpacker.unused_data.lstrip(b"\0")  # with which gzip lets a stream be filled up
        if not raw:
            return out
    raise InvalidBody(f"The gzip stream has more than {_MEMBERS_MAX} members.")


async def _receive(receive: Receive, gate: Gate, limit: int) -> bytes:
    size, parts = 0, bytearray()
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidBody("The sender left before the body was complete.")
            part: bytes = message.get("body", b"")
            gate.take(len(part))
            size += len(part)
            if size > limit:
                raise TooLarge(f"The body has more than {limit} bytes.")
            if not message.get("more_body"):
                return bytes(parts + part) if parts else part  # nearly all come in one piece
            parts += part
    except BaseException:  # the time-out is one that is no Exception
        gate.give(size)
        raise


def _from_form(raw: bytes) -> bytes:
    """Decoded here: given bytes, Python 3.11's parse_qs encodes the result as ASCII."""
    try:
        fields = parse_qs(raw.decode(), max_num_fields=100, errors="strict")
    except UnicodeDecodeError:
        raise InvalidBody("The form is not UTF-8 text.") from None
    except ValueError:
        raise InvalidBody("The form has too many fields.") from None
    for name in _FORM_FIELDS:
        if name in fields:
            return fields[name][0].encode()
    raise InvalidBody("A form must carry the JSON batch in a field named data.")
