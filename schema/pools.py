"""Connections to Postgres that stay open, a few to a process and URL, for what is asked often. In: a URL, and what a
transaction begins with. Out: a connection that is in that transaction; StorageError or Busy where there is none.

Borrowers set nothing but for their transaction, and each begins with whose rows it sees and how. A connection that died
meanwhile, as when Postgres was started again, costs its borrower nothing: another is taken. A fork has its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from schema.errors import Busy, StorageError

T = TypeVar("T")
Connection = psycopg.Connection[TupleRow]
Pool = ConnectionPool[Connection]

_AWAY = "Postgres cannot be reached: try again."
_SECONDS_MAX = 3.0  # for a connection
# Prepared is what asks for it, and no figures: a plan for one site would be kept for another, a hundred times its size.
_NEVER = sys.maxsize
_POOLS_MAX = 4  # of a process: DATABASE_URL's and DATABASE_READ_URL's; tests have a database each
# A server whose machine is gone says nothing: without these its connections wait for a quarter of an hour.
_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_pools: dict[tuple[int, str], Pool] = {}
_lock = threading.Lock()


@contextmanager
def borrowed(
    url: str, connections_max: int, configure: Callable[[Connection], None], begin: Callable[[Connection], T]
) -> Iterator[tuple[Connection, T]]:
    """A connection, and what `begin` returned of it. Borrowers only read."""
    pool = _of(url, connections_max, configure)
    connection, began = _begun(pool, begin)
    try:
        yield connection, began
        with suppress(psycopg.Error):
            connection.commit()  # a rollback, as after an error, also drops every prepared statement
    finally:
        with suppress(psycopg.Error):
            connection.rollback()
        pool.putconn(connection)


def close() -> None:
    """Close every pool of this process: where it ends, or its database does."""
    with _lock:
        closing = [_pools.pop(key) for key in list(_pools) if key[0] == os.getpid()]
    for pool in closing:
        pool.close()


def _begun(pool: Pool, begin: Callable[[Connection], T]) -> tuple[Connection, T]:
    """Twice, where the first connection turned out to be dead."""
    for is_last in (False, True):
        connection = _taken(pool)
        try:
            return connection, begin(connection)
        except BaseException as error:
            with suppress(psycopg.Error):
                connection.rollback()
            is_dead = connection.closed
            pool.putconn(connection)
            if not (is_dead and isinstance(error, psycopg.OperationalError)):
                raise
            if not is_last:
                pool.check()  # the others are probably dead too
    raise StorageError(_AWAY, retry_after_seconds=2)


def _taken(pool: Pool) -> Connection:
    failed = _failed(pool)
    try:
        return pool.getconn(_SECONDS_MAX)
    except PoolTimeout:
        is_away = _failed(pool) > failed  # meanwhile: that it was away once says nothing
    if not is_away and pool.get_stats()["pool_size"] >= pool.max_size:
        message = f"All {pool.max_size} connections for questions are in use: ask again."
        raise Busy(message) from None
    raise StorageError(_AWAY, retry_after_seconds=2)


def _failed(pool: Pool) -> int:
    """How many times Postgres could not be reached, ever."""
    return pool.get_stats().get("connections_errors", 0)


def _of(url: str, connections_max: int, configure: Callable[[Connection], None]) -> Pool:
    key = (os.getpid(), url)
    with _lock:
        if (pool := _pools.pop(key, None)) is None:
            pool = ConnectionPool(
                url,
                kwargs={"connect_timeout": 5, "prepare_threshold": _NEVER} | _ALIVE,
                min_size=0,
                max_size=connections_max,
                configure=configure,
                max_idle=300,
                reconnect_timeout=1,  # then the next request tries afresh
                num_workers=1,
                open=True,
            )
        _pools[key] = pool  # at the end: the first is the one that was not asked for longest
        oldest = _pools.pop(next(iter(_pools))) if len(_pools) > _POOLS_MAX else None
    if oldest is not None:
        oldest.close()
    return pool
