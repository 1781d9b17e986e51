"""Redis' own files, made anew from what it holds now. In: a client. Out: what could not be done, in words.

The append-only file remembers every command until it is rewritten, and a snapshot what there was; both are replaced
whole by Redis, so that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError, ResponseError


class _File(NamedTuple):
    name: str
    order: Callable[[Redis], Any]
    busy: tuple[str, ...]
    status: str


_AOF = _File(
    "append-only file",
    Redis.bgrewriteaof,
    ("aof_rewrite_in_progress", "aof_rewrite_scheduled"),
    "aof_last_bgrewrite_status",
)
_RDB = _File("snapshot", Redis.bgsave, ("rdb_bgsave_in_progress",), "rdb_last_bgsave_status")
_PAUSE_SECONDS = 0.02


def rewrite(redis: Redis, seconds_max: float) -> list[str]:
    """Rewrite each file that Redis keeps, and wait for it. Returns what was not done."""
    until = time.monotonic() + seconds_max
    try:
        files = ([_AOF] if _info(redis)["aof_enabled"] else []) + ([_RDB] if _has_snapshots(redis) else [])
        undone = [file.name for file in files if not _rewritten(redis, file, until)]
    except RedisError as error:
        return [f"Redis' files could not be rewritten: {str(error)[:200]}"]
    return [f"Redis' {name} was not rewritten in time" for name in undone]


def _rewritten(redis: Redis, file: _File, until: float) -> bool:
    """One that is under way may have begun too early: ours comes after it."""
    if not _idle(redis, file, until):
        return False
    while True:
        try:
            file.order(redis)
            break
        except ResponseError as error:  # the other file is being written
            if "progress" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_SECONDS)
    return _idle(redis, file, until) and _info(redis)[file.status] == "ok"


def _idle(redis: Redis, file: _File, until: float) -> bool:
    while any(int(_info(redis).get(name, 0)) for name in file.busy):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _has_snapshots(redis: Redis) -> bool:
    found: Any = redis.config_get("save")
    return bool(found.get("save")) or bool(_info(redis).get("rdb_saves"))


def _info(redis: Redis) -> dict[str, Any]:
    found: Any = redis.info("persistence")
    return dict(found)
