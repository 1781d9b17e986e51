"""Web processes' asynchronous client of the streams' Redis, or of another. In: settings. Out: a client with connections
of its own.
"""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schema.settings import Settings


def connect(settings: Settings, connections_max: int, url: str | None = None) -> Redis:
    """Short time-outs and no retry, because a retried XADD may append twice. Whoever finds all connections in use waits
    for one: redis-py's other pool refuses, and 101 session starts at once were too many."""
    seconds = settings.redis_seconds_max
    pool = BlockingConnectionPool.from_url(
        url or settings.streams_url,
        max_connections=connections_max,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return Redis.from_pool(pool)
