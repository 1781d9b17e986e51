"""Rolling up an hour: seconds for its figures, and those of its day, week and month with it.

In: 100,000 events of one hour that ended, accepted and drained as always, and marked dirty. Out: how long one rollup
takes, and beside it the plain query that a page without rollups would ask of the same hour. What holds: the hour's row
says as many events as the query counts, and no visitor count is off by more than sketches are.
"""

from __future__ import annotations

import statistics
import time

import psycopg

from bench.draining import fill_and_drain
from bench.measured import Measured
from bench.rounds import FULL, Scale, by_turns
from bench.servers import Servers, free_port, web
from bench.traffic import Habits
from schema import db, sketch
from schema.event import now
from schema.settings import Settings
from workers import rollup

_EVENTS = 100_000
_HOUR_MS = 3_600_000
_OFF_MAX = 0.06  # of a sketch whose standard error is 1.6 %
_MARK = (
    "INSERT INTO dirty_hours VALUES ('default', %(hour)s)",
    "INSERT INTO dirty_days VALUES ('default', %(hour)s::date)",
)
_PLAIN = """
SELECT event_type_id, count(*), count(DISTINCT session_id), count(DISTINCT anonymous_id)
FROM events WHERE site_id = 'default' AND occurred_at >= %(hour)s AND occurred_at < %(hour)s + interval '1 hour'
GROUP BY event_type_id ORDER BY event_type_id
"""
_ROLLED = "SELECT event_type_id, events, sessions, visitors FROM rollup_hourly WHERE hour = %(hour)s ORDER BY 1"


def measure(servers: Servers, scale: Scale) -> Measured:
    """The first rollup takes the drain's own marks and is not counted; then a round is: mark, roll up, ask."""
    events = _EVENTS if scale.events >= FULL.events else scale.events
    with servers.fresh(port=free_port(), lanes=1) as settings, db.connect(settings) as connection:
        began = (now() // 1000 // _HOUR_MS - 1) * _HOUR_MS
        _fill(settings, events, began)
        row = connection.execute("SELECT to_timestamp(%s)", (began // 1000,)).fetchone()
        hour = {"hour": row[0] if row else None}
        rollup.run_once(connection)

        def ours() -> float:
            for mark in _MARK:
                connection.execute(mark, hour)
            started = time.perf_counter()
            rollup.run_once(connection)
            return time.perf_counter() - started

        def plain() -> float:
            started = time.perf_counter()
            connection.execute(_PLAIN, hour).fetchall()
            return time.perf_counter() - started

        pairs = by_turns(scale.rounds, ours, plain)
        types = _must_agree(connection, hour, events)
    seconds = statistics.median(pairs.ours)
    return Measured(
        seconds,
        f"{seconds:.2f} s for {events:,} events of {types} types, their day, week and month",
        f"one query, exact, of the hour alone: {statistics.median(pairs.reference):.2f} s",
        pairs.details(),
    )


def _fill(settings: Settings, events: int, hour: int) -> None:
    with web(settings):
        fill_and_drain(settings, events, habits=Habits(hour=hour))


def _must_agree(connection: psycopg.Connection, hour: dict[str, object], events: int) -> int:
    """Raises RuntimeError where rollup and query differ, or where events lie in another hour. Returns types."""
    plain = connection.execute(_PLAIN, hour).fetchall()
    rolled = connection.execute(_ROLLED, hour).fetchall()
    agree = [ours[:3] for ours in rolled] == [theirs[:3] for theirs in plain]
    near = all(
        abs(sketch.estimate(ours[3]) / theirs[3] - 1) < _OFF_MAX for ours, theirs in zip(rolled, plain, strict=False)
    )
    if not agree or not near or sum(ours[1] for ours in rolled) != events:
        raise RuntimeError(f"the rollup says {[r[:3] for r in rolled]}, the query {plain}, of {events} events")
    return len(plain)
