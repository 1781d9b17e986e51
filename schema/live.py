"""Which session is going on, kept in Redis so that starting one needs no Postgres.

    live:{site}       sorted set   session id -> when it was last seen, ms; only sessions begun by session/start
    visitor:{site}    hash         anonymous id -> the session id it was last given

In: session starts from ingest, stored events from the drain. Out: whether a session is fresh, lapsed or unknown.
Scores only grow, so a late drain never shortens a session. Losing these keys costs continuity, never an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from redis import Redis


def begin(pipe: Any, site_id: str, anonymous_id: UUID, session_id: UUID, at_ms: int) -> None:
    """Queue the commands that make `session_id` the visitor's session, seen at `at_ms`."""
    pipe.zadd(f"live:{site_id}", {str(session_id): at_ms}, gt=True)
    pipe.hset(f"visitor:{site_id}", str(anonymous_id), str(session_id))


def ask_visitor(pipe: Any, site_id: str, anonymous_id: UUID) -> Any:
    """Queue the question which session the visitor was last given."""
    return pipe.hget(f"visitor:{site_id}", str(anonymous_id))


def ask_seen(pipe: Any, site_id: str, session_id: UUID) -> Any:
    """Queue the question when the session was last seen, in ms."""
    return pipe.zscore(f"live:{site_id}", str(session_id))


def slide(redis: Redis, seen_ms: Mapping[str, Mapping[UUID, int]]) -> None:
    """Move the expiry of known sessions on, per site; unknown sessions stay unknown."""
    pipe = redis.pipeline(transaction=False)
    for site_id, sessions in seen_ms.items():
        pipe.zadd(f"live:{site_id}", {str(session): ms for session, ms in sessions.items()}, xx=True, gt=True)
    pipe.execute()


def prune(redis: Redis, sites: Iterable[str], before_ms: int) -> int:
    """Forget sessions last seen before `before_ms`, and the visitors that were in them. Returns how many."""
    gone = 0
    for site_id in sites:
        gone += int(_value(redis.zremrangebyscore(f"live:{site_id}", "-inf", f"({before_ms}")))
        for page in _pages(redis.hscan_iter(f"visitor:{site_id}", count=1000), 1000):
            pipe = redis.pipeline(transaction=False)
            for _, session_id in page:
                pipe.zscore(f"live:{site_id}", session_id)
            stale = [v for (v, _), score in zip(page, pipe.execute(), strict=True) if score is None]
            if stale:
                redis.hdel(f"visitor:{site_id}", *stale)
    return gone


def _pages(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    page: list[Any] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def _value(answer: Any) -> Any:
    return answer
