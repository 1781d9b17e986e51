"""Who looks at the dashboard. In: a read key, once; then a cookie. Out: the same right as that key has, as long as the
key has it: nothing of a session is stored here.

The cookie is the key itself, sealed (Fernet: AES-CBC with an HMAC) under a key drawn from the admin key, HttpOnly and
SameSite=Strict. It counts where no key was sent, for what a page reads; for anything else only from a page of ours,
as browsers say with Sec-Fetch-Site or Origin. Another admin key signs everybody out.
"""

from __future__ import annotations

import base64
import secrets
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from schema.settings import Settings

COOKIE = "tripstream_dashboard"
SECONDS_MAX = 30 * 86_400
PATHS = ("/dashboard", "/api/stats", "/api/live", "/api/metrics", "/api/verdicts", "/api/evaluation")
_READING = ("GET", "HEAD")


class Sealed:
    """Keys in cookies."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.admin_key.get_secret_value().encode() or secrets.token_bytes(32)
        drawn = HKDF(SHA256(), length=32, salt=None, info=b"tripstream dashboard cookie").derive(secret)
        self._fernet = Fernet(base64.urlsafe_b64encode(drawn))

    def seal(self, key: str) -> str:
        """The cookie's value."""
        return self._fernet.encrypt(key.encode()).decode()

    def open(self, value: str) -> str | None:
        """The key in it; None where it is not ours, or too old."""
        try:
            return self._fernet.decrypt(value.encode(), ttl=SECONDS_MAX).decode()
        except (InvalidToken, ValueError):
            return None


class FromCookie:
    """Puts the key of a cookie where a key is looked for: into x-read-key."""

    def __init__(self, app: ASGIApp, sealed: Sealed) -> None:
        self._app, self._sealed = app, sealed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATHS):
            request = Request(scope)
            if (value := request.cookies.get(COOKIE)) and not _has_key(request) and _counts(request):
                key = self._sealed.open(value)
                if key is not None:
                    scope["headers"] = [*scope["headers"], (b"x-read-key", key.encode("latin-1", "replace"))]
        await self._app(scope, receive, send)


def is_from_here(request: Request) -> bool:
    """Whether a page of this very origin sent it, as browsers say; those that say nothing are no browsers."""
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


def _counts(request: Request) -> bool:
    return request.method in _READING or is_from_here(request)


def _has_key(request: Request) -> bool:
    return any(request.headers.get(name) for name in ("authorization", "x-read-key", "apikey"))
