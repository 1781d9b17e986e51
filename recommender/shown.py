"""Trips as they are at the moment of the answer. In: ids that the rules chose. Out: rows, of those that may still be
booked: what sold out a second ago is missing. Raises StorageError while Postgres is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from recommender import catalogue
from recommender.trips import Trip
from schema import db
from schema.errors import StorageError
from schema.settings import Settings
from schema.sql import load

_SQL = load("recommend")
_CONNECTIONS_MAX = 4
_SECONDS_MAX = 2.0  # for a connection
Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


class Row(NamedTuple):
    """What the query `shown` brings; country, type, tags, guide and company are JSON as text."""

    occurrence_id: int
    template_id: int
    title_en: str
    title_he: str
    description_en: str
    description_he: str
    starts_on: date
    ends_on: date
    duration_days: int
    difficulty: int
    price: Decimal
    base_price: Decimal
    status: str
    seats: int
    seats_left: int
    country: str
    more_countries: list[str]
    type: str
    tags: str
    guide: str | None
    company: str


class Trips:
    """Asks Postgres, through a few connections that are opened when the first answer needs one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """At the end of the process."""
        if self._pool:
            await self._pool.close()

    async def shown(self, trip_ids: list[int], today: date) -> dict[int, Row]:
        """Those of the trips that may be booked now, by id."""
        rows = await self._ask("shown", {"trip_ids": trip_ids, "today": today})
        return {row[0]: Row._make(row) for row in rows}

    async def trips_of(self, template_ids: Iterable[int], today: date) -> list[Trip]:
        """What may be booked of these templates now, for the rules."""
        rows = await self._ask("trips_of", {"template_ids": list(template_ids), "today": today})
        return [catalogue.trip(row) for row in rows]

    async def _ask(self, name: str, values: dict[str, Any]) -> list[TupleRow]:
        """Twice, where the first connection turned out to be dead: Postgres may have been started again."""
        pool = await self._opened()
        for is_last in (False, True):
            try:
                async with pool.connection(_SECONDS_MAX) as connection:
                    return await (await connection.execute(_SQL[name], values)).fetchall()
            except PoolTimeout:
                break
            except psycopg.OperationalError:
                if is_last:
                    break
                await pool.check()
        raise StorageError("Postgres cannot be reached: try again.", retry_after_seconds=2)

    async def _opened(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                pool: Pool = AsyncConnectionPool(
                    db.checked_url(self._settings),
                    kwargs={"autocommit": True, "connect_timeout": 5},
                    min_size=1,
                    max_size=_CONNECTIONS_MAX,
                    configure=_prepare,
                    reconnect_timeout=1,  # then the next request tries afresh
                    open=False,
                )
                await pool.open()
                self._pool = pool
        return self._pool


async def _prepare(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    await connection.execute(db.SESSION, ("5s", "tripstream_reader"))
