"""Rows past their limit go: whole months at their category's, others one by one. In: limits, and the time. Out: fewer
rows, base rows that stand for them, and floors.

First floors rise, so that nothing below them arrives; then what is below is rolled up a last time and closed; then rows
go, a month or some thousands at a time, each in one transaction with its base rows; then months that are empty are
dropped. Killed anywhere, the next run goes on: what it finds is past its limit still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import dict_row

from schema import db
from schema.db import Connection
from schema.errors import Busy, ConfigError, StorageError
from schema.settings import Settings
from schema.sql import load
from workers import archive, folding, months, old_receipts, rollup
from workers.folding import Cut
from workers.months import Month
from workers.old_receipts import Due

_SQL = load("retention")
_TRIES_MAX = 5
_CHORE_SECONDS_MAX = 240  # rollups wait for the same worker: the rest is done tomorrow
Deadline = Callable[[], bool]
logger = logging.getLogger("tripstream.retention")


class Whole(NamedTuple):
    """A month that goes, and how many rows of each site go with it."""

    month: Month
    rows: dict[str, int]


class Floor(NamedTuple):
    """A site's first day that can still change."""

    site_id: str
    day: date
    at: datetime


class Plan(NamedTuple):
    """What is past its limit: whole months, rows of other months, dead letters and receipts, and the floors that this
    takes."""

    months: list[Whole]
    cuts: list[Cut]
    dues: list[Due]
    floors: list[Floor]


class Gone(NamedTuple):
    """What went, or would go: rows of one site, before a moment, and whether with their whole month."""

    table: str
    site_id: str
    before: datetime
    rows: int
    whole: bool


def chore(settings: Settings) -> None:
    """The clock's: bounded. Where somebody else is at it, there is nothing to do."""
    until = monotonic() + _CHORE_SECONDS_MAX
    directory = Path(settings.archive) if settings.archive else None
    with suppress(Busy):
        run(settings, datetime.now(UTC), directory=directory, deadline=lambda: monotonic() >= until)


def look(settings: Settings, at: datetime) -> tuple[list[Gone], list[Floor]]:
    """What a run at that moment would do."""
    with db.connect(settings, "owner", statement_seconds_max=0) as connection:
        plan = _plan(connection, at)
    return list(_told(plan)), plan.floors


def run(
    settings: Settings,
    at: datetime,
    *,
    directory: Path | None = None,
    deadline: Deadline = lambda: False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Gone]:
    """Do what is due at that moment, with the rows written to `directory` first. Raises StorageError where another run
    is under way, or somebody is in the way all the time."""
    if directory is not None:
        archive.check(directory)
    with db.connect(settings, "owner", statement_seconds_max=0) as connection, _alone(connection):
        connection.prepare_threshold = None  # a prepared query would go on meaning the tables that shadows hide
        months.finish(connection)
        plan = _plan(connection, at)
        _raise_floors(connection, plan.floors)
        with rollup.alone(connection):
            _close(connection)
        gone = list(_work(connection, plan, directory, deadline, progress))
    for one in gone:
        logger.info("rows dropped", extra=one._asdict() | {"before": one.before.isoformat()})
    return gone


def _work(
    connection: Connection,
    plan: Plan,
    directory: Path | None,
    deadline: Deadline,
    progress: Callable[[str, int, int], None],
) -> Iterator[Gone]:
    for done, (month, _) in enumerate(plan.months):
        if deadline():
            return
        progress("months", done, len(plan.months))
        with rollup.alone(connection):
            rows = folding.empty(connection, month, directory)
        months.drop(connection, month)  # without that lock: it waits for everybody's transactions
        yield from _of_month(month, rows)
    for done, cut in enumerate(plan.cuts):
        progress("rows", done, len(plan.cuts))
        if went := _delete(connection, cut, directory, deadline):
            yield _of_cut(cut._replace(rows=went))
    yield from map(_of_due, old_receipts.drop(connection, plan.dues, deadline))


def _delete(connection: Connection, cut: Cut, directory: Path | None, deadline: Deadline) -> int:
    total = 0
    for month in months.there(connection):
        while month.category == cut.category and month.starts < cut.before and not deadline():
            with rollup.alone(connection):
                went = folding.delete(connection, month, cut, directory)
            total += went
            if went < folding.ROWS_AT_ONCE:
                break
    return total


def _plan(connection: Connection, at: datetime) -> Plan:
    limits = months.cut_off(connection, at)
    whole = [Whole(month, _rows(connection, month)) for month in months.past(connection, at)]
    cuts = [cut for cut in _cuts(connection, at, limits) if cut.rows]
    floors = [Floor(cut.site_id, cut.floor, cut.floor_at) for cut in cuts]
    if whole:
        ends = max(month.ends for month, _ in whole)
        sites = sorted({site_id for _, rows in whole for site_id in rows})
        above = connection.execute(_SQL["floors_above"], {"moment": ends, "sites": sites})
        floors += [Floor(*row) for row in above]
    highest = {floor.site_id: floor for floor in sorted(floors, key=lambda floor: floor.at)}
    return Plan(whole, cuts, old_receipts.due(connection, at), [highest[site_id] for site_id in sorted(highest)])


def _cuts(connection: Connection, at: datetime, limits: dict[str | None, datetime]) -> Iterator[Cut]:
    """Rows that go before their month does, counted without those that go with one."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found: list[dict[str, Any]] = cursor.execute(_SQL["cuts"], {"at": at}).fetchall()
        found += cursor.execute(_SQL["request_cuts"], {"at": at}).fetchall()
    for row in found:
        cut = Cut(**{"category": None, "types": []} | row, rows=0)
        since = limits[cut.category].astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        query = _SQL["count_cut" if cut.category else "count_requests"]
        counted = connection.execute(query, cut._asdict() | {"since": since}).fetchall()
        yield cut._replace(rows=counted[0][0])


def _rows(connection: Connection, month: Month) -> dict[str, int]:
    count = sql.SQL("SELECT site_id, count(*) FROM {} GROUP BY site_id ORDER BY site_id").format(month.table)
    return dict(connection.execute(count).fetchall())


def _told(plan: Plan) -> Iterator[Gone]:
    for month, rows in plan.months:
        yield from _of_month(month, rows)
    yield from map(_of_cut, plan.cuts)
    yield from map(_of_due, plan.dues)


def _of_month(month: Month, rows: dict[str, int]) -> Iterator[Gone]:
    for site_id, count in sorted(rows.items()) or [("", 0)]:
        yield Gone(month.name, site_id, month.ends, count, whole=True)


def _of_cut(cut: Cut) -> Gone:
    table = f"events_{cut.category}" if cut.category else "recommendation_requests"
    return Gone(table, cut.site_id, cut.before, cut.rows, whole=False)


def _of_due(due: Due) -> Gone:
    return Gone(due.table, due.site_id, due.before, due.rows, whole=False)


def _raise_floors(connection: Connection, floors: list[Floor]) -> None:
    """Wait for the drains that may have read lower ones. New ones wait behind us: not for long, then we try again."""
    if not floors:
        return
    sites, days, moments = map(list, zip(*floors, strict=True))
    for _ in range(_TRIES_MAX):
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', '2s', true)")
                connection.execute(_SQL["wait_for_drains"])
                connection.execute(_SQL["set_floors"], {"sites": sites, "days": days, "moments": moments})
        except pg.LockNotAvailable:
            continue
        return
    raise StorageError("a drain has been writing for long: run it again when it is done")


def _close(connection: Connection) -> None:
    """Roll up what is below the floors a last time, and close it."""
    for _ in range(_TRIES_MAX):
        if not _is_open(connection):
            return
        rollup.run_once(connection)
        connection.execute(_SQL["close"])
    if _is_open(connection):
        raise StorageError("days that are to be closed change all the time: run it again")


def _is_open(connection: Connection) -> bool:
    return bool(connection.execute(_SQL["not_closed"]).fetchall()[0][0])


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    had = connection.execute("SELECT pg_try_advisory_lock(hashtext('tripstream.retention'))").fetchall()
    if not had[0][0]:
        raise Busy("another retention is under way: wait for it to end")
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtext('tripstream.retention'))")


def set_limit(connection: Connection, name: str, days: int) -> None:
    """How long rows of a category, or of one event type, are kept. Raises ConfigError for a name that is neither, and
    for a type that would outlive its category."""
    values = {"name": name, "days": days}
    if connection.execute(_SQL["set_category_limit"], values).fetchone():
        return
    row = connection.execute(_SQL["set_type_limit"], values).fetchone()
    if row is None:
        raise ConfigError(f"{name!r} is no category and no event type: see `tripstream retention limits`")
    category, is_longer = row
    if is_longer:
        raise ConfigError(f"{name} cannot be kept for {days} days: all of {category} go before; change that first")


def limits(connection: Connection) -> list[dict[str, Any]]:
    """Every category with its limit, and the types and sites that have shorter ones."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["show_limits"]).fetchall()
