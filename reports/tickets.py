"""Tickets for `GET /api/live`: a browser's EventSource sends no header, and a key in an address would stand in logs.
In: a right to a site's figures. Out: a secret that opens streams of them for a minute, and goes on while one runs.

It ends with the key it was made with, and after twelve hours. Redis holds its hash, never itself.
"""

from __future__ import annotations

import secrets

from redis.exceptions import RedisError
from starlette.requests import Request

from reports.listener import Listener
from reports.live import TICKET_SECONDS, Live
from schema import realtime as keys
from schema import registry, rights
from schema.errors import Forbidden, StorageError, Unauthorized
from schema.event import MICROSECOND
from schema.realtime import Ticket
from schema.settings import Settings

SECONDS_MAX = 12 * 3600
LENGTH_MAX = 100
_NO_TICKET = "There is no such ticket, or it has ended: POST /api/live/ticket with a read key makes one."
_OWNER = "Live figures are of a whole site: send its read key."
_AWAY = "Redis, which holds the tickets, cannot be reached. Ask again later."


def allowed(settings: Settings, request: Request) -> tuple[str, bytes | None]:
    """The site whose live figures a request may see, and the hash of its key; None for this machine without one, and
    for the installation's, which ends with the process."""
    scope = rights.scope_of(settings, request)
    if scope.auth_user_id is not None:
        raise Forbidden(_OWNER)
    key = rights.key_in(request.headers)
    return scope.site_id, registry.key_hash(key) if key and not rights.is_installations(settings, key) else None


async def make(live: Live, site_id: str, key_hash: bytes | None, at: int) -> str:
    """A new ticket for what `allowed` said. Raises StorageError."""
    secret = secrets.token_urlsafe(24)
    ticket = Ticket(site_id, key_hash.hex() if key_hash else None, at + SECONDS_MAX * MICROSECOND)
    try:
        await keys.keep_ticket(live.redis, secret, ticket, TICKET_SECONDS)
    except (RedisError, OSError, TimeoutError):
        raise StorageError(_AWAY) from None
    return secret


async def listener(live: Live, secret: str, at: int) -> Listener:
    """Whoever comes with a ticket. Raises Unauthorized, StorageError."""
    try:
        ticket = keys.read_ticket(await keys.ask_ticket(live.redis, secret), at)
    except (RedisError, OSError, TimeoutError):
        raise StorageError(_AWAY) from None
    if ticket is None:
        raise Unauthorized(_NO_TICKET)
    key_hash = bytes.fromhex(ticket.key_hash) if ticket.key_hash else None
    if key_hash is not None and not await live.is_alive(key_hash):
        raise Unauthorized(_NO_TICKET)
    return Listener(ticket.site_id, key_hash, secret, ticket.ends_at)
