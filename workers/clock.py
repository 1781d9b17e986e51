"""What is due, and when. In: the time. Out: enqueued jobs, once per tick however many clocks run.

A tick is a row: whoever inserts it enqueues its job, everyone else finds it there. Ticks missed while no clock ran
are caught up, as many as the chore's `catch_up`; older ones are skipped, because a chore does all that is due.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import LiteralString, NamedTuple

from psycopg.sql import SQL, Identifier
from redis import Redis
from redis.exceptions import RedisError

from schema import db, stream
from schema.db import Connection
from schema.errors import StorageError
from schema.settings import Settings
from schema.sql import load
from workers import outbox, queue, upkeep

_SQL = load("clock")
_PAUSE_SECONDS = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
logger = logging.getLogger("tripstream.clock")


class Chore(NamedTuple):
    """One line of the table. `offset` shifts the slots, `catch_up` bounds how many missed ones are made up for. The
    function of another room is named, like RQ's jobs: nothing is imported for it but by the worker that runs it. It is
    also asked for at once when Postgres notifies `channel`."""

    name: str
    function: Callable[[Settings], None] | str
    every: timedelta
    offset: timedelta = timedelta(0)
    catch_up: int = 1
    seconds_max: int = 300
    channel: LiteralString | None = None

    def slot(self, at: datetime) -> datetime:
        """The slot that `at` lies in."""
        return _EPOCH + (at - _EPOCH - self.offset) // self.every * self.every + self.offset

    def run(self, settings: Settings) -> None:
        """Do it."""
        if isinstance(self.function, str):
            module, _, name = self.function.rpartition(".")
            getattr(import_module(module), name)(settings)
        else:
            self.function(settings)


def _roll_up(settings: Settings) -> None:
    from workers import rollup  # the clock process itself never rolls up

    with db.connect(settings, statement_seconds_max=240) as connection:
        rollup.run_once(connection)


def _move(settings: Settings) -> None:
    from workers import mover  # as with rollups

    mover.move(settings)


def _retain(settings: Settings) -> None:
    from workers import retention  # as with rollups

    retention.chore(settings)


CHORES = (
    Chore("mirror", upkeep.mirror, timedelta(seconds=15)),
    Chore("identities", _move, timedelta(seconds=5)),
    Chore("rollup", _roll_up, timedelta(minutes=1)),
    Chore("outbox", outbox.move, timedelta(seconds=5), seconds_max=30),
    Chore("snapshot", "recommender.building.build", timedelta(seconds=10), channel="catalogue"),
    Chore("erasures", "workers.erasure.run_due", timedelta(minutes=1), seconds_max=3600),
    Chore("prune", upkeep.prune, timedelta(minutes=15)),
    Chore("partitions", upkeep.partitions, timedelta(days=1), offset=timedelta(hours=2), catch_up=3),
    Chore("retention", _retain, timedelta(days=1), offset=timedelta(hours=2), seconds_max=3600),
)
_BY_NAME = {chore.name: chore for chore in CHORES}
_BY_CHANNEL = {chore.channel: chore for chore in CHORES if chore.channel is not None}


def run_once(connection: Connection, redis: Redis, streams: Redis, settings: Settings, at: datetime) -> list[str]:
    """Enqueue what is due at `at`: a drain for every lane without one, and the chores' new ticks. Returns their names.

    `redis` carries the jobs, `streams` the events; they may be one.
    """
    done = []
    queued = queue.queued_lanes(redis)
    for lane in stream.known_lanes(streams, settings.lanes):
        if lane not in queued and not stream.is_draining(streams, lane):
            queue.enqueue_drain(redis, lane, settings)
            done.append(f"drain {lane}")
    for chore in CHORES:
        for slot in due(chore, _last_slot(connection, chore), at):
            # Enqueued before the row commits: a crash between the two enqueues it again, and twice does no harm.
            with connection.transaction():
                if connection.execute(_SQL["tick"], {"chore": chore.name, "slot": slot}).fetchone():
                    _enqueue(redis, chore, slot)
                    done.append(chore.name)
    return done


def heed(connection: Connection, redis: Redis, seconds: float) -> list[str]:
    """Wait that long for notifications, and ask for the chores that are due by them, once each. Returns their names.

    What comes meanwhile is asked for together, and what came before the clock listened is found by the next tick.
    """
    heard = {one.channel for one in connection.notifies(timeout=seconds, stop_after=1)}
    chores = [_BY_CHANNEL[channel] for channel in sorted(heard)]
    for chore in chores:
        _enqueue(redis, chore, chore.slot(datetime.now(UTC)))
    return [chore.name for chore in chores]


def _enqueue(redis: Redis, chore: Chore, slot: datetime) -> None:
    every = int(chore.every.total_seconds())
    queue.enqueue_chore(redis, chore.name, slot.isoformat(), chore.seconds_max, every)


def due(chore: Chore, last: datetime | None, at: datetime) -> list[datetime]:
    """The slots after `last` up to `at`, at most `catch_up` of them, newest kept; all of them are in order."""
    newest = chore.slot(at)
    slots: list[datetime] = []
    while len(slots) < chore.catch_up and (last is None or newest > last):
        slots.append(newest)
        newest -= chore.every
        if last is None:
            break
    return slots[::-1]


def run_chore(settings: Settings, name: str, slot: str) -> None:
    """Do one chore and write into its tick how it went. Raises what the chore raised."""
    tick = {"chore": name, "slot": slot}
    with db.connect(settings) as connection:
        connection.execute(_SQL["began"], tick)
        error = "killed or unreachable"
        try:
            _BY_NAME[name].run(settings)
            error = ""
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}".split("\n", 1)[0][:500]
            raise
        finally:
            connection.execute(_SQL["finished"], tick | {"error": error or None})


def run(settings: Settings, stop: Callable[[], bool]) -> None:
    """Tick every second until `stop`. Postgres or Redis being away costs ticks, which are caught up, not the clock."""
    while not stop():
        try:
            _run_connected(settings, stop)
        except (StorageError, RedisError, OSError) as error:
            logger.warning("the clock waits", extra={"error": str(error)})
            time.sleep(2)


def _run_connected(settings: Settings, stop: Callable[[], bool]) -> None:
    with (
        db.connect(settings) as connection,
        stream.connect(settings.redis_url) as redis,
        stream.connect(settings.streams_url) as streams,
        db.wrapped(),
    ):
        stream.open_lanes(streams, settings.lanes)
        for channel in _BY_CHANNEL:
            connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
        while not stop():
            run_once(connection, redis, streams, settings, datetime.now(UTC))
            stream.beat_clock(streams)
            if heed(connection, redis, _PAUSE_SECONDS):
                time.sleep(_PAUSE_SECONDS)


def _last_slot(connection: Connection, chore: Chore) -> datetime | None:
    row = connection.execute(_SQL["last_slot"], {"chore": chore.name}).fetchone()
    found: datetime | None = row[0] if row else None
    return found
