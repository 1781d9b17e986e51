"""Ways to hand rows to Postgres: the stage as binary or text; ledger and events in two statements or in one.

In: batches accepted over HTTP and read from their lane, as a drain reads them. Out: rows/s of that step alone, on a
connection like a drain's. What holds: both sides leave the same number of rows, and each round has fresh events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers, free_port, web
from bench.stored import post_all
from schema import db, stream
from schema.db import Connection
from schema.event import COLUMNS
from schema.settings import Settings
from schema.sql import load
from workers.attribute import attribute
from workers.copying import fill_stage, make_tables
from workers.drain import chunks
from workers.identities import link_visitors
from workers.resolve import Dictionaries, Staged
from workers.store import known_events

_COPY = f"COPY stage ({', '.join(COLUMNS)}) FROM STDIN"
_TRANSACTIONS = 3  # a turn: single ones differed by half, whichever side they were of
_AS_TEXT = ("metadata", "utm", "ip_prefix")  # text for jsonb and cidr, which is the cheapest that Python can give
_ONE_STATEMENT = """
WITH fresh AS (
    INSERT INTO event_ids (site_id, event_id, first_seen)
    SELECT site_id, event_id, now() FROM stage ORDER BY event_id, site_id
    ON CONFLICT DO NOTHING
    RETURNING site_id, event_id
)
INSERT INTO events SELECT stage.* FROM stage JOIN fresh USING (site_id, event_id)
"""


class Step(NamedTuple):
    """A drain's connection in a transaction, and how to stage what it would write."""

    connection: Connection
    staged: Sequence[Staged]
    stage: Callable[[], None]


Steps = Iterator[AbstractContextManager[Step]]
"""A transaction's worth of fresh events each."""


def copy(servers: Servers, scale: Scale) -> Pairs:
    """COPY into `stage`. The text side gets its rows ready-made, the binary side's time includes making them."""
    with _steps(servers, scale) as steps:
        return by_turns(
            scale.rounds,
            lambda: _turn(steps, lambda step: step.stage),
            lambda: _turn(steps, _ready_as_text),
        )


def ledger(servers: Servers, scale: Scale) -> Pairs:
    """From staged rows to ledger and events; copying the ids for the two statements counts."""
    scale = scale._replace(rounds=2 * scale.rounds)
    with _steps(servers, scale) as steps:
        return by_turns(scale.rounds, lambda: _turn(steps, _ready_for_two), lambda: _turn(steps, _ready_for_one))


def _turn(steps: Steps, ready: Callable[[Step], Callable[[], None]]) -> float:
    """Rows/s over some transactions: `ready` does what does not count, and returns what does."""
    rows, seconds = 0, 0.0
    for _ in range(_TRANSACTIONS):
        with next(steps) as step:
            work = ready(step)
            began = time.perf_counter()
            work()
            seconds += time.perf_counter() - began
            rows += len(step.staged)
    return rows / seconds


def _ready_as_text(step: Step) -> Callable[[], None]:
    step.stage()
    columns = ", ".join(f"{c}::text" if c in _AS_TEXT else c for c in COLUMNS)
    rows = step.connection.execute(f"SELECT {columns} FROM stage").fetchall()
    step.connection.execute("TRUNCATE stage")
    return lambda: _copy_text(step.connection, rows)


def _copy_text(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as out:
        for row in rows:
            out.write_row(row)


def _ready_for_two(step: Step) -> Callable[[], None]:
    step.stage()
    return lambda: _two_statements(step)


def _two_statements(step: Step) -> None:
    known = known_events(step.connection, [(s.batch.site_id, s.event.event_id) for s in step.staged])
    stored = step.connection.execute(load("drain")["store_events"]).rowcount
    if known or stored != len(step.staged):
        raise RuntimeError(f"{stored} stored, {len(known)} known, of {len(step.staged)}")


def _ready_for_one(step: Step) -> Callable[[], None]:
    step.stage()
    step.connection.execute("SET LOCAL enable_mergejoin = off")  # it sorted the wide rows
    return lambda: _one_statement(step)


def _one_statement(step: Step) -> None:
    stored = step.connection.execute(_ONE_STATEMENT).rowcount
    if stored != len(step.staged):
        raise RuntimeError(f"{stored} stored of {len(step.staged)}")


@contextmanager
def _steps(servers: Servers, scale: Scale) -> Iterator[Steps]:
    """As many as both sides need in all rounds, after one that warms up."""
    with servers.fresh(port=free_port(), lanes=1) as settings, db.connect(settings) as connection:
        size = min(settings.drain_events_max, scale.events)
        count = 2 * scale.rounds * _TRANSACTIONS + 1
        with web(settings), stream.connect(settings.redis_url) as redis:
            post_all(settings.port, count * size // 10, 10, seed=5)
            stream.open_lanes(redis, 1)
            entries = stream.read(redis, 0, count * size, 0)
        make_tables(connection)
        dictionaries = Dictionaries()
        found = [
            [Staged(e, entry.batch) for entry in chunk if entry.batch for e in entry.batch.events]
            for chunk in chunks(entries, size)
        ]
        steps = (_step(connection, staged, dictionaries, settings) for staged in found)
        with next(steps) as first:
            first.stage()
            _two_statements(first)
        yield steps


@contextmanager
def _step(
    connection: Connection, staged: Sequence[Staged], dictionaries: Dictionaries, settings: Settings
) -> Iterator[Step]:
    """A transaction up to where a drain would stage its rows; committed at the end."""
    dictionaries.learn(connection, staged)
    with connection.transaction():
        users = link_visitors(connection, staged, set())
        sessions = attribute(connection, staged, users, settings.session_timeout_seconds)
        yield Step(connection, staged, lambda: fill_stage(connection, staged, dictionaries, users, sessions, {}))
