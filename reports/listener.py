"""One listener of live figures, between whoever has news and the connection that takes it. In: messages, of which each
makes the one before it needless. Out: the newest, when there is room: nothing piles up for whoever is slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

_HEARTBEAT = b": still here\n\n"


class Listener:
    """One stream, whose it is, and what it is to be sent next."""

    def __init__(self, site_id: str, key_hash: bytes | None, ticket: str | None = None, ends_at: int | None = None):
        self.site_id, self.key_hash, self.ticket, self.ends_at = site_id, key_hash, ticket, ends_at
        self.sending_since: float | None = None
        self.abort: Callable[[], None] | None = None
        self.ended = False
        self._next: bytes | None = None
        self._woken = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Send this next, in place of what was not sent yet."""
        self._next = message
        self._woken.set()

    def nudge(self) -> None:
        """Send a sign of life, if there is nothing else to send."""
        if self._next is None:
            self.put(_HEARTBEAT)

    def end(self) -> None:
        """Send nothing more."""
        self.ended = True
        self._woken.set()

    def cut(self) -> None:
        """The same for one that takes nothing: its connection is dropped with all that waits in it."""
        self.end()
        if self.abort is not None:
            self.abort()

    async def messages(self) -> AsyncIterator[bytes]:
        """What to send, as it comes."""
        while not self.ended:
            await self._woken.wait()
            self._woken.clear()
            message, self._next = self._next, None
            if message is not None and not self.ended:
                yield message
