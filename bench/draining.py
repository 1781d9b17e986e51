"""Drain: events/s of the product's drain workers (ledger, counters, sessions, dirty marks) over bare COPY of the rows.

In: lanes filled over HTTP, unique events in batches of ten. Out: the rate of the two drain processes that a fresh
installation has, and that of COPY of the very rows they stored into an equal table (partitioned, with its indexes), on
one connection, in transactions as large, from text rendered beforehand. Beside it: one worker over the same COPY. What
holds: both tables grow alike, and all that was accepted became rows.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from itertools import count

import psycopg

from bench.measured import Measured
from bench.rounds import Pairs, Scale
from bench.servers import ROOT, Servers, environment, free_port, web
from bench.stored import post_all
from bench.stored import rows as rows_stored
from bench.traffic import USUAL, Habits
from schema.event import COLUMNS
from schema.settings import Settings

CHUNK = 10_000
_COLUMNS = ", ".join(COLUMNS)
# A process of its own, as in production; the clock starts once its connections are open.
_DRAIN = """
import json, sys, time
from schema import collector, settings as config
from workers import jobs
settings = config.load()
collector.spare()
with jobs.drains(settings, json.loads(sys.argv[1])) as found:
    print("ready", flush=True); input()
    began = time.monotonic()
    events = sum(drain.run_until_empty() for drain in found)
    print(events, began, time.monotonic())
"""
_seeds = count(1000)


def measure(servers: Servers, scale: Scale) -> Measured:
    """A round is: fill, drain, copy the same rows; with two workers, then with one."""
    two = _against_copy(servers, scale, 2)
    one = _against_copy(servers, scale, 1)
    return Measured(
        two.ratio,
        f"{statistics.median(two.ours):,.0f} events/s by two workers; by one {statistics.median(one.ours):,.0f}, ×"
        f" {one.ratio:.2f}",
        f"{statistics.median(two.reference):,.0f} rows/s by one COPY",
        two.details() | {"one_worker": one.details()},
    )


def _against_copy(servers: Servers, scale: Scale, lanes: int) -> Pairs:
    with servers.fresh(port=free_port(), lanes=lanes) as ours, servers.fresh(flush=False) as theirs, web(ours):
        fill_and_drain(ours, CHUNK)  # dictionaries, months and caches
        found = Pairs([], [])
        with psycopg.connect(theirs.database_url) as reference, psycopg.connect(ours.database_url) as stored:
            _make_months(reference)
            seen = _newest(stored)
            for _ in range(scale.rounds):
                found.ours.append(fill_and_drain(ours, scale.events))
                chunks = _rows_since(stored, seen)
                seen = _newest(stored)
                found.reference.append(scale.events / copy(reference, chunks))
    return found


def fill_and_drain(
    settings: Settings, events: int, workers: list[list[int]] | None = None, habits: Habits = USUAL
) -> float:
    """Post, then drain with processes that have those lanes, by default one for each lane. Returns events/s from the
    first's start to the last's end."""
    post_all(settings.port, events // 10, 10, seed=next(_seeds), habits=habits)
    children = [_start_drain(settings, lanes) for lanes in workers or [[lane] for lane in range(settings.lanes)]]
    for child in children:
        assert child.stdin  # noqa: S101
        child.stdin.write("\n")
        child.stdin.flush()
    told = [child.communicate()[0].split() for child in children]
    if any(child.returncode for child in children) or sum(int(line[0]) for line in told) != events:
        raise RuntimeError("a drain failed")
    return events / (max(float(line[2]) for line in told) - min(float(line[1]) for line in told))


def _start_drain(settings: Settings, lanes: list[int]) -> subprocess.Popen[str]:
    """A drain that is connected and waits for the word."""
    child = subprocess.Popen(
        [sys.executable, "-c", _DRAIN, json.dumps(lanes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, env=environment(settings),
    )  # fmt: skip
    assert child.stdout  # noqa: S101
    child.stdout.readline()
    return child


def copy(connection: psycopg.Connection, chunks: list[bytes]) -> float:
    """COPY each chunk in a transaction of its own. Returns seconds."""
    began = time.perf_counter()
    for chunk in chunks:
        with connection.cursor() as cursor, cursor.copy(f"COPY events ({_COLUMNS}) FROM STDIN") as out:
            out.write(chunk)
        connection.commit()
    return time.perf_counter() - began


def _rows_since(connection: psycopg.Connection, seen: object) -> list[bytes]:
    query = f"COPY (SELECT {_COLUMNS} FROM events WHERE received_at > '{seen}' ORDER BY received_at) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query) as copied:
        lines = b"".join(bytes(part) for part in copied).splitlines(keepends=True)
    connection.rollback()
    return [b"".join(lines[at : at + CHUNK]) for at in range(0, len(lines), CHUNK)]


def _newest(connection: psycopg.Connection) -> object:
    row = connection.execute("SELECT max(received_at) FROM events").fetchone()
    connection.rollback()
    if rows_stored(connection) == 0 or row is None:
        raise RuntimeError("nothing was stored")
    return row[0]


def _make_months(connection: psycopg.Connection) -> None:
    for category in ("interaction", "user_activity"):
        connection.execute(
            "SELECT ensure_month(%s::event_category, d::date) FROM generate_series(now() - interval '1 month', now(),"
            " interval '1 month') AS d",
            (category,),
        )
    connection.commit()
