"""The pipeline without HTTP. In: batches, promised as accept promises them. Out: rows, as a test asks for them.

Drains are the real ones, called and not waited for. What must overlap is interleaved by locks: one side holds, the
test waits until Postgres says that the other side is blocked, and lets go.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID

import psycopg
from redis import Redis

from schema import db, stream
from schema.asked import Asked
from schema.db import Connection
from schema.event import Batch, Event
from schema.settings import Settings
from tests.make import batch, canonical, uid
from tests.tripstream.waiting import until
from workers import rollup, verify
from workers.drain import Drain
from workers.rollup import Rolled

ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class Pipeline:
    """Redis and Postgres of one test, and what moves events between them."""

    def __init__(self, settings: Settings, connection: Connection, redis: Redis) -> None:
        self.settings = settings
        self.connection = connection
        self.redis = redis
        self.numbers = itertools.count(1000)

    def accept(self, *batches: Batch, lane: int = 0) -> None:
        """Promise these batches, each by itself."""
        for one in batches:
            pipe = self.redis.pipeline(transaction=True)
            stream.append(pipe, lane, one)
            pipe.execute()

    def drain(self, lane: int = 0) -> int:
        """Drain a lane until it is empty. Returns how many events and requests left it."""
        rounds = itertools.count(1)
        drained = Drain(self.connection, self.redis, lane, self.settings).run_until_empty(lambda: next(rounds) > 1000)
        assert next(rounds) < 1000, "the lane does not become empty"
        return drained

    def send(self, *events: Event, lane: int = 0, **shared: Any) -> UUID:
        """Accept and drain one more batch of these events. Returns its id."""
        one = batch(*events, n=next(self.numbers), **shared)
        self.accept(one, lane=lane)
        self.drain(lane)
        return one.batch_id

    def ask(self, *asked: Asked, lane: int = 0) -> None:
        """Queue and drain these answered requests."""
        for one in asked:
            stream.append_asked(self.redis, lane, one)
        self.drain(lane)

    def roll_up(self) -> Rolled:
        return rollup.run_once(self.connection)

    def move(self, site_id: str, zone: str, first: date) -> None:
        """Have a site's days be another zone's from one on, as if that had been asked for before."""
        values = {"site": site_id, "zone": zone, "first": first}
        values["old"] = self.value("SELECT time_zone FROM sites WHERE site_id = %s", site_id)
        self.connection.execute("UPDATE sites SET time_zone = %(zone)s WHERE site_id = %(site)s", values)
        self.connection.execute("DELETE FROM site_zones WHERE site_id = %(site)s", values)
        self.connection.execute(
            "INSERT INTO site_zones (site_id, since, until, starts, ends, time_zone)"
            " SELECT %(site)s, '-infinity', %(first)s::date, '-infinity', at, %(old)s"
            " FROM day_starts(%(first)s::date, %(zone)s) AS at"
            " UNION ALL SELECT %(site)s, %(first)s, 'infinity', at, 'infinity', %(zone)s"
            " FROM day_starts(%(first)s::date, %(zone)s) AS at",
            values,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> tuple[Any, ...]:
        (found,) = self.rows(query, *values)
        return found

    def value(self, query: str, *values: Any) -> Any:
        (found,) = self.row(query, *values)
        return found

    def problems(self) -> list[str]:
        return verify.verify(self.settings, lambda *_: None).problems


@contextmanager
def pipeline(settings: Settings) -> Iterator[Pipeline]:
    """Opened as the workers open it: as the writer, lanes made."""
    with (
        db.connect(settings, statement_seconds_max=60) as connection,
        stream.connect(settings.streams_url) as redis,
    ):
        stream.open_lanes(redis, settings.lanes)
        yield Pipeline(settings, connection, redis)


def visit(n: int, visitor: int, **fields: Any) -> Event:
    """The n-th event, of a visitor, in that visitor's own session."""
    return canonical(n, **{"anonymous_id": uid(3, visitor), "session_id": uid(2, visitor)} | fields)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Runs `work` in a thread until the end of the block, and raises there what it raised. Yields a wait for its end,
    for what the block does after it."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def finish() -> None:
        thread.join(30)
        assert not thread.is_alive(), "the other side is still blocked"
        if raised:
            raise raised.pop()

    try:
        yield finish
    finally:
        thread.join(30)
    finish()


def until_blocked(settings: Settings, sessions: int = 1) -> None:
    """Wait until so many sessions of this database wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        until(lambda: connection.execute(query).fetchall()[0][0] >= sessions, "somebody waits for a lock")
