"""A recommendation, engine only: 100,000 and 1,000,000 occurrences, the first search alone and with the wider one.

In: a made catalogue, as a snapshot mapped from its file and as rows in Postgres; sixty preferences. Out: p95 of the
engine over all of them, several times each, beside the plain design on a few of the same. What holds: both sides find
the same trips with the same scores. Building, file and mapping of the snapshot are in the words.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from bench import orm, trips
from bench.measured import Measured
from bench.rounds import FULL, Pairs, Scale
from bench.servers import Servers, free_port
from recommender import engine, filters, relaxation
from recommender.policy import WEIGHTS
from recommender.preferences import Preferences
from recommender.snapshot import Snapshot
from recommender.trips import Found
from schema.settings import Settings

_TIMES = 7  # each, with the others between
_PLAIN_CANDIDATES = 60_000  # the plain design is asked only what has at most so many: the rest would take minutes
_PLAIN_QUERIES = 5


class Built(NamedTuple):
    """The snapshot, and what it took."""

    snapshot: Snapshot
    build_seconds: float
    map_seconds: float
    megabytes: float


def measure(servers: Servers, scale: Scale, *, occurrences: int, relaxed: bool) -> Measured:
    """One row."""
    count = occurrences if scale.events >= FULL.events else 10_000
    with servers.fresh(port=free_port()) as settings:
        made, session = _stored(settings, count)
        built = _build(made)
        asked = _asked(built.snapshot, made, relaxed)
        times = _times(built.snapshot, asked)
        pairs = _beside(session, built.snapshot, asked)
    p95 = statistics.quantiles(times, n=20)[-1] * 1000
    ours, theirs = (statistics.median(side) * 1000 for side in pairs[:2])
    return Measured(
        p95,
        f"p95 {p95:.2f} ms, median {statistics.median(times) * 1000:.2f} ms of {len(asked)} queries;"
        f" {_words(built, count)}",
        f"an ORM's objects, {len(pairs.ours)} queries of at most {_PLAIN_CANDIDATES:,} candidates: median"
        f" {theirs:.0f} ms; ours, of the same: {ours:.2f} ms",
        {"occurrences": count, "times": times, "beside": pairs.details(), **built._asdict() | {"snapshot": None}},
    )


def _words(built: Built, count: int) -> str:
    size, mapped = built.megabytes / count * 1e6, built.map_seconds * 1000
    return f"{size:.0f} MB a million, built in {built.build_seconds:.2f} s, mapped in {mapped:.0f} ms"


def _stored(settings: Settings, count: int) -> tuple[trips.Catalogue, Callable[[], Session]]:
    """The catalogue, its rows in Postgres too, and how to ask for them."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        rows = connection.execute("SELECT country, continent FROM countries").fetchall()
        made = trips.make(count, dict(rows))
        trips.store(connection, made)
    pool = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(settings.database_url), poolclass=NullPool
    )
    return made, lambda: Session(pool)


def _build(made: trips.Catalogue) -> Built:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "trips.snapshot"
        snapshot, build_seconds = _timed(lambda: Snapshot.from_columns(*made))
        snapshot.write(path)
        mapped, map_seconds = _timed(lambda: Snapshot.map(path))
        return Built(mapped, build_seconds, map_seconds, path.stat().st_size / 1e6)


_T = TypeVar("_T")


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _asked(snapshot: Snapshot, made: trips.Catalogue, relaxed: bool) -> list[Preferences]:
    """Those whose first search is enough, or those for whom it is not."""
    if relaxed:
        wishes = (wish for wish in trips.narrow(made.continents) if _is_relaxed(snapshot, wish))
        return list(islice(wishes, trips.ASKED))
    return [wish for wish in trips.usual(made.continents) if not _is_relaxed(snapshot, wish)]


def _is_relaxed(snapshot: Snapshot, wish: Preferences) -> bool:
    return len(engine.recommend(snapshot, wish, trips.TODAY).primary) < WEIGHTS.relax_below


def _times(snapshot: Snapshot, asked: list[Preferences]) -> list[float]:
    return [_timed(partial(engine.recommend, snapshot, wish, trips.TODAY))[1] for _ in range(_TIMES) for wish in asked]


def _beside(session: Callable[[], Session], snapshot: Snapshot, asked: list[Preferences]) -> Pairs:
    """Seconds of both, of some queries. Raises RuntimeError where they find different trips."""
    pairs = Pairs([], [])
    for wish in asked:
        found, ours = _timed(partial(engine.recommend, snapshot, wish, trips.TODAY))
        if found.candidates > _PLAIN_CANDIDATES or len(pairs.ours) == _PLAIN_QUERIES:
            continue
        with session() as connected:
            plain, theirs = _timed(partial(_plainly, connected, snapshot, wish))
        if plain != _short(found):
            raise RuntimeError(f"the plain design finds {plain}, the engine {_short(found)}, for {wish}")
        pairs.ours.append(ours)
        pairs.reference.append(theirs)
    return pairs


def _plainly(session: Session, snapshot: Snapshot, wish: Preferences) -> list[tuple[int, int]]:
    today, until = trips.TODAY, snapshot.until
    first = orm.search(session, wish, filters.primary(wish, today, until, WEIGHTS), today, set())
    found = first[: WEIGHTS.results]
    if len(first) < WEIGHTS.relax_below:
        wider = relaxation.relaxed(wish, snapshot.places, today, until, WEIGHTS)
        more = orm.search(session, wish, wider, today, {one[2] for one in first})
        found += more[: WEIGHTS.results - len(found)]
    return [(-score, occurrence_id) for score, _, occurrence_id in found]


def _short(found: Found) -> list[tuple[int, int]]:
    return [(one.score, one.occurrence_id) for one in found.primary + found.relaxed]


hundred_thousand = partial(measure, occurrences=100_000, relaxed=False)
million = partial(measure, occurrences=1_000_000, relaxed=False)
hundred_thousand_relaxed = partial(measure, occurrences=100_000, relaxed=True)
million_relaxed = partial(measure, occurrences=1_000_000, relaxed=True)
