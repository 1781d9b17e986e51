"""Four hundred days that lie behind a site, for reports to be asked about. In: an empty migrated database and how many
events. Out: about so many, and every figure rolled up from them by the product itself.

Postgres makes them (history.sql): through HTTP and the drain twelve million would take ten minutes more. Of what the
drain would have added besides, users and sessions are there; counters of trips no report reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

from schema import db
from schema.db import Connection
from schema.settings import Settings
from schema.sql import read
from workers import rollup

DAYS = 400
EVENTS_A_SESSION = 12
ZONE = "Asia/Jerusalem"
_SQL = read(Path(__file__).with_name("history.sql"))
_SEED = 0.42


class Made(NamedTuple):
    """What was made: the days' first and last, how many events, and the seconds that making and rolling up took."""

    first: date
    last: date
    events: int
    seconds: float
    rollup_seconds: float


def fill(settings: Settings, events: int, last: date, told: Callable[[str], None] = print) -> Made:
    """Make the days up to `last`, mark them as the drain would have, and roll them up."""
    first = last - timedelta(days=DAYS - 1)
    began = time.perf_counter()
    with db.connect(settings, "owner", statement_seconds_max=0) as connection:
        connection.execute("UPDATE sites SET time_zone = %s WHERE site_id = 'default'", (ZONE,))
        connection.execute(_SQL["seed"], {"seed": _SEED})
        for name in ("words", "agents"):
            connection.execute(_SQL[name])
        connection.execute(_SQL["months"], {"first": first, "last": last + timedelta(days=2)})
        stored = _days(connection, events, first, told)
        for name in ("users", "sessions", "mark_hours", "mark_days"):
            connection.execute(_SQL[name])
        connection.execute("VACUUM (ANALYZE) events")
    made = time.perf_counter()
    told(f"{stored:,} events made in {made - began:.0f} s")
    with db.connect(settings, statement_seconds_max=0) as connection:
        rolled = rollup.run_once(connection)
    with db.connect(settings, "owner", statement_seconds_max=0) as connection:
        connection.execute("VACUUM (ANALYZE)")
    rolled_up = time.perf_counter()
    told(f"{rolled.hours:,} hours and {rolled.days} days rolled up in {rolled_up - made:.0f} s")
    return Made(first, last, stored, made - began, rolled_up - made)


def _days(connection: Connection, events: int, first: date, told: Callable[[str], None]) -> int:
    """Day by day; returns how many events were made."""
    visitors = max(events // 60, 1)
    stored = 0
    shares = [_share(first + timedelta(days=n)) for n in range(DAYS)]
    for n, share in enumerate(shares):
        sessions = max(round(events / EVENTS_A_SESSION * share / sum(shares)), 1)
        day = {"day": datetime.combine(first + timedelta(days=n), datetime.min.time(), UTC)}
        stored += connection.execute(_SQL["day"], day | {"sessions": sessions, "visitors": visitors}).rowcount
        if n % 100 == 99:
            told(f"{n + 1} days, {stored:,} events")
    return stored


def _share(day: date) -> float:
    """How lively a day is: half as much again in July as in January, and a third more at weekends."""
    season = 1.2 - 0.3 * cos(2 * pi * day.timetuple().tm_yday / 365)
    return season * (1.33 if day.weekday() in (4, 5) else 1.0)
