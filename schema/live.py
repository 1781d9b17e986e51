"""Which session is going on, kept in Redis so that starting one needs no Postgres.

    live:{site}       sorted set   session id -> when it was last seen, ms; only sessions begun by session/start
    visitor:{site}    hash         anonymous id -> the session id it was last given

In: session starts from ingest, stored events from the drain. Out: whether a session is fresh, lapsed or unknown.
Ids are their 16 bytes: a session takes 126 bytes of Redis, and took 206 with ids as text. Neither key outgrows its
limit: whoever starts sessions without end pushes out the oldest, and does not fill the Redis that events need.
Scores only grow, so a late drain never shortens a session. Losing these keys costs continuity, never an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from redis import Redis

# The sorted set knows its oldest. The hash does not: prune takes the visitors whose session is gone, and until it comes
# two of any make room for one, so that the hash shrinks too when the limit was lowered.
_BEGIN = """
redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[4] - 1)
if redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) == 1 and redis.call('HLEN', KEYS[2]) > tonumber(ARGV[4]) then
    for _, visitor in ipairs(redis.call('HRANDFIELD', KEYS[2], 2)) do
        if visitor ~= ARGV[1] then redis.call('HDEL', KEYS[2], visitor) end
    end
end
"""


def begin(pipe: Any, site_id: str, anonymous_id: UUID, session_id: UUID, at_ms: int, *, at_most: int) -> Any:
    """Queue what makes `session_id` the visitor's session, seen at `at_ms`. Of more than `at_most` the oldest goes."""
    keys = (f"live:{site_id}", f"visitor:{site_id}")
    return pipe.eval(_BEGIN, len(keys), *keys, anonymous_id.bytes, session_id.bytes, at_ms, at_most)


def ask_visitor(pipe: Any, site_id: str, anonymous_id: UUID) -> Any:
    """Queue the question which session the visitor was last given, as its 16 bytes."""
    return pipe.hget(f"visitor:{site_id}", anonymous_id.bytes)


def ask_seen(pipe: Any, site_id: str, session_id: UUID) -> Any:
    """Queue the question when the session was last seen, in ms."""
    return pipe.zscore(f"live:{site_id}", session_id.bytes)


def slide(pipe: Any, seen_ms: Mapping[str, Mapping[UUID, int]]) -> None:
    """Queue what moves the expiry of known sessions on, per site; unknown sessions stay unknown."""
    for site_id, sessions in seen_ms.items():
        pipe.zadd(f"live:{site_id}", {session.bytes: ms for session, ms in sessions.items()}, xx=True, gt=True)


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


def forget(redis: Redis, site_id: str, visitors: Iterable[str], sessions: Iterable[str]) -> None:
    """Forget these visitors and sessions, whose ids come as text."""
    for key, ids, remove in (("visitor", visitors, redis.hdel), ("live", sessions, redis.zrem)):
        for page in _pages(ids, 1000):
            remove(f"{key}:{site_id}", *(UUID(one).bytes for one in page))


def found(redis: Redis, site_id: str, visitors: Iterable[str]) -> Iterable[tuple[str, UUID, int | None]]:
    """The session that each of these visitors was last given, and when that was last seen, in ms."""
    for visitor in visitors:
        session = _value(redis.hget(f"visitor:{site_id}", UUID(visitor).bytes))
        if session is not None:
            seen = _value(redis.zscore(f"live:{site_id}", session))
            yield visitor, UUID(bytes=session), None if seen is None else int(seen)


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
