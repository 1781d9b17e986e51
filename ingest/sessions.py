"""POST /api/session/start: the visitor's session goes on, or a new one begins. Answers without Postgres.

In: `{anonymous_id, session_id?, device_type, referrer, …}`. Out: `{session_id, resumed, expires_in_seconds}`. A new
session is one `session_start` event in the stream, with an id derived from the session, so that it is stored once
however often it is sent; the drain writes the session row from it as from any event.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import astuple
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.types import Scope

from ingest import rules
from ingest.commit import GroupCommit
from ingest.dialects.native import Address, Code, Text
from ingest.endpoint import commit, decode, make_batch, take
from ingest.gate import Gate
from ingest.http import Answer, encode
from schema import limits, live, signals
from schema.errors import Busy, InvalidBody
from schema.event import Event, derived_id, new_id, now
from schema.settings import Settings


class SessionStart(msgspec.Struct, kw_only=True):
    """What a browser says of itself when it starts."""

    anonymous_id: UUID
    session_id: UUID | None = None
    device_type: Code | None = None
    referrer: Address | None = None
    user_agent: Text | None = None
    screen: Code | None = None
    owner_code: Text | None = None
    user_code: Text | None = None
    share_code: Text | None = None
    contact_id: Text | None = None
    page_url: Annotated[str, Meta(max_length=4096)] | None = None


class SessionEndpoint:
    """Starts and resumes sessions. `redis` holds the live sessions."""

    def __init__(self, gate: Gate, group: GroupCommit, redis: Redis, settings: Settings) -> None:
        self._gate = gate
        self._group = group
        self._redis = redis
        self._settings = settings

    async def __call__(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Answer:
        received_at = now()
        root = decode(raw)
        context = self._gate.context(scope, header, root, received_at)
        try:
            wanted = msgspec.convert(root, SessionStart)
            limits.refuse_nul(astuple(wanted))
        except msgspec.ValidationError as error:
            raise InvalidBody(str(error).replace(" - at `$.", " in `")) from None
        if signals.opted_out(header, context.rule):  # an id to go on with, of which nothing is known here
            return 200, encode(self._answer(wanted.session_id or new_id(received_at), resumed=False))
        session_id, resumed = await self._choose(context.site_id, wanted, received_at)
        if not resumed:  # the event first: if it cannot be promised, the session was not begun either
            event = _session_start(context.site_id, wanted, session_id, received_at)
            batch = make_batch(scope, header, context, [event])
            await commit(self._group, take(batch, self._settings.lanes))
        await self._begin(context.site_id, wanted.anonymous_id, session_id, received_at // 1000)
        return 200, encode(self._answer(session_id, resumed))

    def _answer(self, session_id: UUID, resumed: bool) -> dict[str, UUID | bool | int]:
        expires = self._settings.session_timeout_seconds
        return {"session_id": session_id, "resumed": resumed, "expires_in_seconds": expires}

    async def _choose(self, site_id: str, wanted: SessionStart, at: int) -> tuple[UUID, bool]:
        """The session to go on with, and whether it was going on: an unknown id is new, a lapsed one is replaced."""
        with redis_or_busy():
            known = wanted.session_id
            if known is None:
                last = await live.ask_visitor(self._redis, site_id, wanted.anonymous_id)
                known = UUID(bytes=last) if last else None
            seen = await live.ask_seen(self._redis, site_id, known) if known else None
        if seen is None:
            return wanted.session_id or new_id(at), False
        lapsed = seen < at // 1000 - self._settings.session_timeout_seconds * 1000
        return (new_id(at), False) if lapsed or known is None else (known, True)

    async def _begin(self, site_id: str, anonymous_id: UUID, session_id: UUID, at_ms: int) -> None:
        at_most = self._settings.live_sessions_max
        with redis_or_busy():
            await live.begin(self._redis, site_id, anonymous_id, session_id, at_ms, at_most=at_most)


@contextmanager
def redis_or_busy() -> Iterator[None]:
    """Whatever goes wrong with Redis here is worth another try of the same request."""
    try:
        yield
    except (RedisError, OSError, TimeoutError):
        raise Busy("The session could not be looked up. Send the same request again.") from None


def _session_start(site_id: str, wanted: SessionStart, session_id: UUID, at: int) -> Event:
    path, utm = rules.page(wanted.page_url, None)
    return Event(
        event_id=derived_id(site_id, "session_start", session_id.bytes),
        event_type="session_start",
        occurred_at=at,
        session_id=session_id,
        anonymous_id=wanted.anonymous_id,
        device_type=wanted.device_type,
        referrer=wanted.referrer,
        user_agent=wanted.user_agent,
        screen=wanted.screen,
        owner_code=wanted.owner_code or wanted.user_code,
        share_code=wanted.share_code,
        contact_id=wanted.contact_id,
        page_url=wanted.page_url,
        path=path,
        utm=utm,
    )
