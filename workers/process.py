"""What `POST /process-events` does, so that any cron can trigger it: drain what is queued, bounded, move
events to the users that were linked, then roll up.

In: settings. Out: events drained and days aggregated. Lanes that another drain holds are waited for, not fought over.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from schema import db, stream
from schema.db import Connection
from schema.settings import Settings
from schema.sql import load
from workers import jobs, mover, rollup


class Processed(NamedTuple):
    """Events drained meanwhile, by whichever drain, and site days rolled up."""

    events: int
    days: int


def process_events(settings: Settings) -> Processed:
    """Drain until what was queued at the start is gone or the time is up, then roll up."""
    until = time.monotonic() + settings.process_events_seconds_max
    with (
        db.connect(settings, statement_seconds_max=240) as connection,
        stream.connect(settings.streams_url) as redis,
    ):
        before = _drained(connection)
        lanes = stream.known_lanes(redis, settings.lanes)
        _, tails = stream.snapshot(redis, lanes, [])
        while time.monotonic() < until:
            left = [lane for lane, tail in tails.items() if stream.has_until(redis, lane, tail)]
            if not left:
                break
            jobs.drain_plainly(settings, until - time.monotonic(), left)
            time.sleep(0.02)
        mover.run_once(connection)
        return Processed(_drained(connection) - before, rollup.run_once(connection).days)


def _drained(connection: Connection) -> int:
    row = connection.execute(load("verify")["drained_events"]).fetchone()
    return int(row[0]) if row else 0
