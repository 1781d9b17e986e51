"""Who looks at the dashboard. In: a read key, once; then a cookie. Out: the same right as that key has, as long as the
key has it: nothing of a session is stored here. The installation's admin key reads any site: the cookie says which.

The cookie is the key itself, sealed (Fernet: AES-CBC with an HMAC) under a key drawn from the admin key, or without one
from where Postgres is, which all web processes know; HttpOnly and SameSite=Strict. It counts where no key was sent, for
what a page reads; for anything else only from a page of ours, as browsers say with Sec-Fetch-Site or Origin. Another
admin key signs everybody out.
"""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from schema.settings import Settings

COOKIE = "tripstream_dashboard"
CHOSEN = "tripstream.chosen"  # in a request's scope: the site that was chosen with the installation's key
SECONDS_MAX = 30 * 86_400
PATHS: tuple[str, ...] = ("/dashboard", "/api/stats", "/api/live", "/api/metrics", "/api/verdicts", "/api/evaluation")
PATHS += ("/process-events",)
_READING = ("GET", "HEAD")


class Sealed:
    """Keys in cookies."""

    def __init__(self, settings: Settings) -> None:
        secret = (settings.admin_key.get_secret_value() or settings.database_url).encode()
        drawn = HKDF(SHA256(), length=32, salt=None, info=b"tripstream dashboard cookie").derive(secret)
        self._fernet = Fernet(base64.urlsafe_b64encode(drawn))

    def seal(self, key: str, site_id: str = "") -> str:
        """The cookie's value."""
        return self._fernet.encrypt(f"{site_id}\n{key}".encode()).decode()

    def open(self, value: str) -> tuple[str, str] | None:
        """The site and the key in it; None where it is not ours, or too old."""
        try:
            site_id, _, key = self._fernet.decrypt(value.encode(), ttl=SECONDS_MAX).decode().partition("\n")
        except (InvalidToken, ValueError):
            return None
        return site_id, key


class FromCookie:
    """Puts the key of a cookie where a key is looked for, into x-read-key; a site that was chosen into x-site-id."""

    def __init__(self, app: ASGIApp, sealed: Sealed) -> None:
        self._app, self._sealed = app, sealed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATHS):
            request = Request(scope)
            value = request.cookies.get(COOKIE)
            found = self._sealed.open(value) if value and not _has_key(request) and _counts(request) else None
            if found is not None:
                _give(scope, *found)
        await self._app(scope, receive, send)


def _give(scope: Scope, site_id: str, key: str) -> None:
    given = {b"x-read-key": key} | ({b"x-site-id": site_id} if site_id else {})
    kept = [(name, value) for name, value in scope["headers"] if name not in given]
    scope["headers"] = [*kept, *((name, value.encode("latin-1", "replace")) for name, value in given.items())]
    scope[CHOSEN] = site_id or None


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
