"""Recommendations over HTTP while events come in: 200 requests a second, open loop, on the whole stack.

In: the demo catalogue of 100,000 occurrences, and sixty preferences by turns. Out: p99 from when a request was due to
its answer, the median of three spells, each with 5,000 events a second posted at the same time to the same web process;
and beside it the same without them. What holds: every answer was a 200, every event became a row, and every answered
request its row in recommendation_requests.

The stack has answered for two seconds, and events are under way, before the first request that counts is due: a
hundredth of a spell is a tenth of a second, and while connections are made, their queries planned and a sender
started, it was 76 ms instead of 12.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import psycopg

from bench import load, trips
from bench.accepting import bodies
from bench.load import Plan, Result
from bench.measured import Measured
from bench.rounds import FULL, Scale
from bench.servers import Servers, free_port, stack
from bench.stored import events_stored, until_stored
from bench.traffic import USER_AGENTS, Post
from recommender import seed
from recommender.route import PATH
from schema import db
from schema.settings import Settings

_RATE, _BATCHES = 200, 500
_SIZE = 10
_SECONDS = 10.0
_SPELLS = 3
_AHEAD_SECONDS = 1.5  # that events flow before requests do


def measure(servers: Servers, scale: Scale) -> Measured:
    """Alone first, then under events."""
    is_full = scale.events >= FULL.events
    seconds = _SECONDS if is_full else 2.0
    with servers.fresh(port=free_port()) as settings:
        with db.connect(settings, "owner", statement_seconds_max=0) as owner:
            seed.fill(owner, 100_000 if is_full else 2_000, datetime.now(UTC).date())
        with stack(settings), _wishes() as path, psycopg.connect(settings.database_url, autocommit=True) as rows:
            _until_answering(settings)
            first = _ask(settings, path, seconds / 5)
            alone = _ask(settings, path, seconds)
            spells = [_under_events(settings, rows, path, seconds, number) for number in range(_SPELLS)]
            _must_be_logged(rows, first.answered + alone.answered + sum(spell.answered for spell in spells))
    p50, p99 = (statistics.median(spell.percentile(share) for spell in spells) for share in (0.5, 0.99))
    return Measured(
        p99,
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms at {_RATE} requests/s, with {_BATCHES * _SIZE:,} events/s beside them",
        f"without events: p50 {alone.percentile(0.5):.1f} ms, p99 {alone.percentile(0.99):.1f} ms",
        {"p99_ms": [spell.percentile(0.99) for spell in spells], "alone_p99_ms": alone.percentile(0.99)},
    )


def _under_events(settings: Settings, rows: psycopg.Connection, path: str, seconds: float, number: int) -> Result:
    before = events_stored(rows)
    requests = int(_BATCHES * (seconds + 2 * _AHEAD_SECONDS))
    with bodies(_SIZE, requests, seed=9_000 + number) as events:
        beside = load.start(
            Plan(port=settings.port, requests=events, connections=32, rate=_BATCHES, seconds=requests / _BATCHES)
        )
        time.sleep(_AHEAD_SECONDS)
        asked = _ask(settings, path, seconds)
        posted = load.finish(beside)
    if posted.errors:
        raise RuntimeError(f"{posted.errors} errors while posting events")
    until_stored(rows, before + posted.answered * _SIZE)
    return asked


def _ask(settings: Settings, path: str, seconds: float) -> Result:
    asked = load.run(Plan(port=settings.port, requests=path, connections=32, rate=_RATE, seconds=seconds, status=200))
    if asked.errors:
        raise RuntimeError(f"{asked.errors} answers were no 200")
    return asked


@contextmanager
def _wishes() -> Iterator[str]:
    """Countries and continents, types and themes are the demo catalogue's own."""
    continents = {"IT": "EU", "JP": "AS", "PE": "SA", "KE": "AF", "IS": "EU", "VN": "AS", "NZ": "OC", "CA": "NA"}
    wishes = trips.usual(continents)
    made = (Post(wish.model_dump_json(by_alias=True).encode(), 0, USER_AGENTS[0]) for wish in wishes)
    with load.rendered(made, PATH) as path:
        yield path


def _until_answering(settings: Settings) -> None:
    deadline = time.monotonic() + 60
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}") as client:
        while time.monotonic() < deadline:
            answer = client.post(PATH, json={})
            if answer.status_code == 200 and answer.json()["results"]:
                return
            time.sleep(0.1)
    raise RuntimeError("no recommendation came for 60 s")


def _must_be_logged(rows: psycopg.Connection, answered: int) -> None:
    """Every answered request, besides those that waited for the first result."""
    deadline = time.monotonic() + 30
    logged = 0
    while logged < answered:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{answered} requests were answered, {logged} were logged")
        row = rows.execute("SELECT count(*) FROM recommendation_requests").fetchone()
        logged = int(row[0]) if row else 0
        time.sleep(0.1)
