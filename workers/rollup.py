"""Recomputes the hours and days that changed. In: dirty marks, events and requests for recommendations. Out: rollup
rows, replaced whole.

One REPEATABLE READ transaction takes the marks it sees and writes what they stand for: a crash leaves marks and rows
as they were, a drain that commits meanwhile leaves a new mark, and a second rollup waits for the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from operator import add
from typing import Any, NamedTuple

from psycopg import IsolationLevel
from psycopg import errors as pg
from psycopg.rows import dict_row

from schema import sketch
from schema.db import Connection
from schema.errors import ConfigError
from schema.sql import load
from workers import daily, merged, recommendation_rollup

_SQL = load("rollup")
_LOCK = "tripstream.rollup"
_TRIES_MAX = 5
_BUCKETS_MAX = 50


Bucket = dict[str, Any]


class Family(NamedTuple):
    """One table of figures: which query claims its buckets, which replace a bucket's rows, and what is in those."""

    claim: str
    clear: str
    add: str
    figures: Callable[[Connection, Bucket], Iterable[dict[str, Any]]]


def _of_events(connection: Connection, bucket: Bucket) -> list[dict[str, Any]]:
    """An hour's figures per type; what they are together is written at once."""
    types, everyone = [], set()
    for event_type_id, events, sessions, visitors in connection.execute(_SQL["bucket"], bucket).fetchall():
        figures = {"event_type_id": event_type_id, "events": events, "sessions": sessions}
        types.append(figures | {"unique_users": len(visitors), "visitors": sketch.of(visitors)})
        everyone.update(visitors)
    if types:
        together = {"events": sum(one["events"] for one in types), "unique_users": len(everyone)}
        connection.execute(_SQL["add_whole_hour"], bucket | together)
    return types


HOURS = Family("claim_hours", "clear_hour", "add_hour", _of_events)
DAYS = Family("claim_days", "clear_day", "add_day", daily.compute)
REQUEST_DAYS = Family("claim_request_days", "clear_request_day", "add_request_day", recommendation_rollup.figures)


class Rolled(NamedTuple):
    """How many hours and site days were computed again, and how many days of recommendations."""

    hours: int
    days: int
    request_days: int = 0


def run_once(connection: Connection, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Rolled:
    """Roll up everything dirty, a bounded number of buckets in a transaction, so that a backlog of them is worked off
    bit by bit. `progress` is told (done, total) buckets of each transaction."""
    total = Rolled(0, 0)
    with alone(connection):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            while True:
                rolled = _try(connection, progress)
                total = Rolled(*map(add, total, rolled))
                if max(rolled) < _BUCKETS_MAX:
                    return total
        finally:
            if not connection.broken:
                connection.isolation_level = None


def mark(connection: Connection, day: date, site_id: str | None = None) -> list[str]:
    """Have a day of a site, or of every site, computed again by the next rollup. Returns the sites. Raises ConfigError
    for a site that there is not."""
    sites = [row[0] for row in connection.execute(_SQL["mark"], {"date": day, "site_id": site_id}).fetchall()]
    if site_id is not None and not sites:
        raise ConfigError(f"there is no site {site_id!r}: see `tripstream site list`")
    return sites


def _try(connection: Connection, progress: Callable[[int, int], None]) -> Rolled:
    for attempt in range(_TRIES_MAX):
        try:
            with connection.transaction():
                rolled = roll(connection, progress, _BUCKETS_MAX)
                if max(rolled) < _BUCKETS_MAX:
                    connection.execute(_SQL["complete"])
                return rolled
        except pg.SerializationFailure:
            if attempt == _TRIES_MAX - 1:
                raise
    raise AssertionError("unreachable")


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Whoever else rolls up waits meanwhile."""
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (_LOCK,))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (_LOCK,))


def roll(connection: Connection, progress: Callable[[int, int], None], most: int | None = None) -> Rolled:
    """The work itself, inside the caller's transaction: at most so many hours and days of each family, then the weeks
    and months of those days."""
    connection.execute(load("retention")["forget_closed"])
    claimed = {family: _claim(connection, family, most) for family in (HOURS, DAYS, REQUEST_DAYS)}
    if claimed[DAYS]:
        daily.prepare(connection)
    work = [(family, bucket) for family, buckets in claimed.items() for bucket in buckets]
    for done, (family, bucket) in enumerate(work):
        _compute(connection, family, bucket)
        progress(done + 1, len(work))
    merged.merge(connection, [(day["site_id"], day["bucket"]) for day in claimed[DAYS]])
    return Rolled(*map(len, claimed.values()))


def _claim(connection: Connection, family: Family, most: int | None) -> list[Bucket]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[family.claim], {"most": most}).fetchall()


def _compute(connection: Connection, family: Family, bucket: Bucket) -> None:
    """Replace one bucket's rows by what is true now; a bucket of which there is nothing to say ends with none."""
    connection.execute(_SQL[family.clear], bucket)
    for figures in family.figures(connection, bucket):
        connection.execute(_SQL[family.add], bucket | figures)
