"""Drain: events/s of one worker (ledger, counters, sessions, dirty marks) over bare COPY of the same rows.

In: a lane filled over HTTP, unique events in batches of ten. Out: one drain process' rate, and that of COPY of the
very rows it stored into an equal table (partitioned, with its indexes), on one connection, in transactions as large,
from text rendered beforehand. What holds: both tables grow alike, and all that was accepted became rows.
"""

from __future__ import annotations

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
from schema.event import COLUMNS
from schema.settings import Settings

CHUNK = 10_000
_COLUMNS = ", ".join(COLUMNS)
# A process of its own, as in production; the clock starts once its connections are open.
_DRAIN = """
import time
from schema import collector, settings as config
from workers import jobs
settings = config.load()
collector.spare()
with jobs.drains(settings, [0]) as found:
    print("ready", flush=True); input()
    began = time.perf_counter(); cpu = time.process_time()
    events = found[0].run_until_empty()
    print(events, time.perf_counter() - began, time.process_time() - cpu)
"""
_seeds = count(1000)


def measure(servers: Servers, scale: Scale) -> Measured:
    """A round is: fill, drain, copy the same rows."""
    with servers.fresh(port=free_port(), lanes=1) as ours, servers.fresh(flush=False) as theirs, web(ours):
        fill_and_drain(ours, CHUNK)  # dictionaries, months and caches
        found, cpu = Pairs([], []), []
        with psycopg.connect(theirs.database_url) as reference, psycopg.connect(ours.database_url) as stored:
            _make_months(reference)
            seen = _newest(stored)
            for _ in range(scale.rounds):
                events, seconds, cpu_seconds = fill_and_drain(ours, scale.events)
                chunks = _rows_since(stored, seen)
                seen = _newest(stored)
                found.ours.append(events / seconds)
                cpu.append(1e6 * cpu_seconds / events)
                found.reference.append(events / copy(reference, chunks))
    return Measured(
        found.ratio,
        f"{statistics.median(found.ours):,.0f} events/s, of {statistics.median(cpu):.1f} µs Python each",
        f"{statistics.median(found.reference):,.0f} rows/s",
        found.details() | {"python_us_per_event": cpu},
    )


def fill_and_drain(settings: Settings, events: int, *, ordered_ids: bool = False) -> tuple[int, float, float]:
    """Post, then drain lane 0 once. Returns events, seconds, and seconds of CPU in Python."""
    post_all(settings.port, events // 10, 10, seed=next(_seeds), ordered_ids=ordered_ids)
    child = start_drain(settings)
    return finish_drain(child)


def start_drain(settings: Settings, code: str = _DRAIN) -> subprocess.Popen[str]:
    """A drain that is connected and waits for the word."""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment(settings),
    )  # fmt: skip
    assert child.stdout  # noqa: S101
    child.stdout.readline()
    return child


def finish_drain(child: subprocess.Popen[str]) -> tuple[int, float, float]:
    """Give the word, and wait for what it did."""
    output, _ = child.communicate("\n")
    events, seconds, cpu = output.split()
    if child.returncode:
        raise RuntimeError("the drain failed")
    return int(events), float(seconds), float(cpu)


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
