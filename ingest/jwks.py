"""The keys of an identity provider. In: its JWKS. Out: public keys by id and algorithm, asked for seldom.

One fetch at a time, in a thread; a key that is not known is looked for again at most every half minute, and when the
provider is away the last good keys stay. The process forgets them when it ends, and fetches before the first token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from schema.errors import Busy

FRESH_SECONDS = 600.0
THROTTLE_SECONDS = 30.0
_FETCH_SECONDS = 5.0
_BYTES_MAX = 1 << 20
_KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None)}
logger = logging.getLogger("tripstream.ingest")


class _Jwks(msgspec.Struct):
    keys: list[Any]


class Keys:
    """A provider's keys. `fetch` and `clock` are the network's and the machine's unless a test passes its own."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
        seconds_max: float = _FETCH_SECONDS,
    ) -> None:
        self._seconds = seconds_max
        self._url = url
        self._fetch = fetch or partial(download, seconds_max=seconds_max)
        self._clock = clock
        self._known: dict[tuple[str, str], Any] | None = None
        self._asked_at = -1e9
        self._fetching: asyncio.Task[None] | None = None
        self.version = 0

    def prepare(self) -> None:
        """Fetch them before anybody asks."""
        self._start()

    async def find(self, kid: str | None, algorithm: str) -> Any:
        """The public key for that id and algorithm, None where there is none; without an id only where there is no
        choice. Raises Busy before the first keys are here."""
        age = self._clock() - self._asked_at
        if self._known is None or (self._pick(kid, algorithm) is None and age > THROTTLE_SECONDS):
            await self._refresh()
        elif age > FRESH_SECONDS:
            self._start()  # nobody waits for what is only getting old
        if self._known is None:
            message = "The token cannot be verified just now: its issuer's keys are not here. Send it again."
            raise Busy(message, retry_after_seconds=5)
        return self._pick(kid, algorithm)

    def _pick(self, kid: str | None, algorithm: str) -> Any:
        known = self._known or {}
        if kid is not None:
            return known.get((kid, algorithm))
        fitting = [key for (_, of), key in known.items() if of == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _ask(self) -> dict[tuple[str, str], Any]:
        return read(self._fetch(self._url))

    async def _refresh(self) -> None:
        """Wait for the fetch under way, or for one more unless there was one just now."""
        if self._fetching is None and self._known is None and self._clock() - self._asked_at <= THROTTLE_SECONDS:
            return
        await asyncio.shield(self._start())

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._take())
        return self._fetching

    async def _take(self) -> None:
        try:
            # A thread that hangs before the first byte of a body is left behind; nobody waits for it.
            known = await asyncio.wait_for(asyncio.to_thread(self._ask), self._seconds + 1)
        except Exception as error:  # whatever a network, a server or a library can think of
            logger.warning("the keys of tokens cannot be fetched", extra={"error": f"{type(error).__name__}: {error}"})
        else:
            if known or self._known is None:
                self._known = known
                self.version += 1
        finally:
            self._fetching = None


def read(document: bytes) -> dict[tuple[str, str], Any]:
    """The keys of a JWKS that verify ES256 or RS256, by id and algorithm. Secret, weak and foreign ones are left out.
    In a thread: 5,000 keys take 0.2 s."""
    from jwt import PyJWK, PyJWTError  # a tenth of a second, which only those pay who verify

    found = {}
    for number, data in enumerate(msgspec.json.decode(document, type=_Jwks).keys):
        if not isinstance(data, dict):
            continue
        for algorithm, (kind, curve) in _KINDS.items():
            fits = data.get("kty") == kind and data.get("crv") == curve and data.get("alg", algorithm) == algorithm
            if fits and data.get("use", "sig") == "sig" and not {"d", "k"} & data.keys():
                try:
                    key = PyJWK(data, algorithm)
                except (PyJWTError, ValueError, TypeError):
                    continue
                if kind == "EC" or key.key.key_size >= 2048:
                    found[str(data.get("kid", f"#{number}")), algorithm] = key.key
    return found


class _NoDetour(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A redirect could lead away from https, or to a machine inside: it is an error."""
        return


def download(url: str, seconds_max: float = _FETCH_SECONDS) -> bytes:
    """Fetch a JWKS; in a thread, because it blocks. Raises OSError, or ValueError for what is too large or drips."""
    until = time.monotonic() + seconds_max
    document = b""
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "tripstream"})  # noqa: S310 settings checked the scheme
    with build_opener(_NoDetour).open(request, timeout=seconds_max) as answer:
        while part := answer.read1(1 << 16):
            document += part
            if len(document) > _BYTES_MAX:
                raise ValueError("the document is too large")
            if time.monotonic() > until:
                raise ValueError("the document does not end")
    return document
