"""Large bodies: whose one is before it is read, how much it holds, and how many are read at once. In: JSON as it came.
Out: turns, and refusals that cost little. Nothing outlives a request.

8 MiB of JSON can be 150 MB of objects and half a second's work, and 8 KB on the wire once compressed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from schema.errors import Busy, TooLarge

LARGE = 64 << 10  # below it, reading at once costs less than waiting for a thread
VALUE_BYTES = 128  # of memory that one value takes, about
_AT_ONCE, _WAITING_MAX = 2, 16
_WINDOW = 64 << 10  # what is longer is no key, and an item that is longer is not looked into
_KEYS = ("writeKey", "api_key", "token")
_SHOWN = (*_KEYS, "event", "batch", "properties")
_Top = msgspec.defstruct("_Top", [(name, msgspec.Raw, msgspec.Raw()) for name in _SHOWN])
_decode = msgspec.json.Decoder(_Top).decode  # which builds nothing of what it skips
_first_value = json.JSONDecoder().raw_decode


class Turns:
    """Few are read at once, some wait, and the rest is asked to come again."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Busy where too many wait already."""
        if self.waiting >= _WAITING_MAX:
            raise Busy("Too many large batches at once. Send the same batch again.")
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


def count_values(raw: bytes, most: int) -> int:
    """How many values JSON holds, about, and never fewer than half of them. Raises TooLarge over `most`."""
    found = 0
    for mark in (b",", b"{", b"["):
        found += raw.count(mark)
        if found > most:
            raise TooLarge(f"The body holds more than {most} values.")
    return found


def head(raw: bytes) -> Any:
    """The body with no more of it than a key may be in: its first event, and the keys beside it. None where that cannot
    be told without reading all of it."""
    start = raw[:_WINDOW].lstrip()[:1]
    try:
        if start == b"[":
            return _first_of(raw)
        top = {name: bytes(value) for name, value in msgspec.structs.asdict(_decode(raw)).items() if value}
        found = {name: msgspec.json.decode(top[name]) for name in _KEYS if len(top.get(name, b"")) in range(1, _WINDOW)}
        if any(isinstance(key, str) and key for key in found.values()):
            return found  # these count before those of events
        if "event" in top:
            found["event"] = None
        if "batch" in top:
            items = top["batch"].lstrip()
            found["batch"] = _first_of(items) if items.startswith(b"[") else None
        elif "properties" in top:
            found["properties"], _ = _first_value(_text(top["properties"]))
    except (ValueError, RecursionError):  # msgspec's DecodeError is one
        return None
    return found


def _first_of(items: bytes) -> list[Any]:
    inner = _text(items).lstrip().removeprefix("[").lstrip()
    return [] if inner.startswith("]") else [_first_value(inner)[0]]


def _text(raw: bytes) -> str:
    return raw[:_WINDOW].decode("utf-8", "replace")
