"""Trips as they are at the moment of the answer. In: ids that the rules chose. Out: rows, of those that may still be
booked: what sold out a second ago is missing. Raises StorageError while Postgres is away.

The connections are made when the app starts, with their queries planned, and no more are made under load: a new one
cost 10 ms, in a moment when there was too much to do anyway. Postgres may be away then; they come when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from recommender import catalogue, texts
from recommender.texts import Texts
from recommender.trips import Trip
from schema import db
from schema.errors import ConfigError, StorageError
from schema.settings import Settings
from schema.sql import load

_SQL = load("recommend")
_CONNECTIONS = 4
_SECONDS_MAX = 2.0  # for a connection
Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


class Row(NamedTuple):
    """What the query `shown` brings, and what is kept of the template: members of a JSON object."""

    occurrence_id: int
    template_id: int
    starts_on: date
    ends_on: date
    price: Decimal
    base_price: Decimal
    status: str
    seats: int
    seats_left: int
    company_id: int
    company: str
    guide_id: int | None
    guide_en: str | None
    guide_he: str | None
    text: bytes


class Trips:
    """Asks Postgres, through a few connections."""

    def __init__(self, settings: Settings, kept: Texts) -> None:
        self._settings = settings
        self._kept = kept
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Begin to connect, and wait for nothing. What is wrong with the settings each request says."""
        with suppress(ConfigError):
            await self._opened()

    async def close(self) -> None:
        """At the end of the process."""
        if self._pool:
            await self._pool.close()

    async def shown(self, trip_ids: list[int], today: date) -> dict[int, Row]:
        """Those of the trips that may be booked now, by id."""
        rows = await self._ask("shown", {"trip_ids": _array(trip_ids), "today": today})
        said = await self._texts({row[1] for row in rows})
        return {row[0]: Row._make((*row, said[row[1]])) for row in rows if row[1] in said}

    async def trips_of(self, template_ids: Iterable[int], today: date) -> list[Trip]:
        """What may be booked of these templates now, for the rules."""
        rows = await self._ask("trips_of", {"template_ids": _array(template_ids), "today": today})
        return [catalogue.trip(row) for row in rows]

    async def _texts(self, template_ids: set[int]) -> dict[int, bytes]:
        said = self._kept.of(template_ids)
        if missing := template_ids - said.keys():
            generation = self._kept.generation
            rows = await self._ask("texts", {"template_ids": _array(missing)})
            found = {row[0]: texts.encoded(row) for row in rows}
            self._kept.keep(found, generation)
            said |= found
        return said

    async def _ask(self, name: str, values: dict[str, Any]) -> list[TupleRow]:
        """Twice, where the first connection turned out to be dead: Postgres may have been started again."""
        pool = await self._opened()
        for is_last in (False, True):
            try:
                async with pool.connection(_SECONDS_MAX) as connection:
                    return await (await connection.execute(_SQL[name], values, binary=True)).fetchall()
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
                    kwargs={"autocommit": True, "connect_timeout": 5, "prepare_threshold": 0},
                    min_size=_CONNECTIONS,
                    max_size=_CONNECTIONS,
                    configure=_prepare,
                    reconnect_timeout=1,  # then the next request tries afresh
                    open=False,
                )
                await pool.open()
                self._pool = pool
        return self._pool


def _array(ids: Iterable[int]) -> str:
    """As Postgres writes it. Of a list psycopg makes int2[], int4[] or int8[] by its values: three queries to plan."""
    return f"{{{','.join(map(str, ids))}}}"


async def _prepare(connection: psycopg.AsyncConnection[TupleRow]) -> None:
    """Each query once, and one plan for any number of ids: Postgres would plan anew five times before it settles."""
    await connection.execute(db.SESSION, ("5s", "tripstream_reader"))
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    none = {"trip_ids": _array([]), "template_ids": _array([]), "today": date.min}
    for name in ("shown", "texts", "trips_of"):
        await connection.execute(_SQL[name], none, binary=True)
