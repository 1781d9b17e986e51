"""A Postgres that was away, and a real streaming replica: what it has is read, and what is too old is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from prometheus_client.core import CollectorRegistry

from reports.metrics import Pipeline
from schema import db, pools, rights, sites
from schema.db import Scope
from schema.errors import Busy, StorageError
from schema.settings import Settings
from tests.conftest import Servers
from tests.schema.test_sites import site
from tests.tripstream import waiting
from tripstream import binaries, doctor
from tripstream.embedded_postgres import Postgres
from tripstream.state import own_dir

until = partial(waiting.until, seconds=60)  # three servers on a busy machine
VIEWS = "SELECT total_views FROM daily_stats"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits for long where Postgres is away; what was opened is closed."""
    monkeypatch.setattr(pools, "_SECONDS_MAX", 0.5)
    yield
    pools.close()


def replica_of(primary: Postgres, state: Path) -> Postgres:
    """A standby that streams from it."""
    programs, major = binaries.postgres(primary.state)
    copy = Postgres(state, {"fsync": "off"})
    copied = state / f"pg{major}"
    own_dir(copied)
    url = primary.url("postgres")
    primary._run(
        "pg_basebackup",
        [programs / "pg_basebackup", "-D", copied, "-d", url, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
    )
    copy.start()
    return copy


def views(settings: Settings) -> list[int]:
    with db.reading(settings, Scope("shop")) as connection:
        return [views for (views,) in connection.execute(VIEWS)]


def is_refused(settings: Settings) -> bool:
    try:
        views(settings)
    except StorageError as refused:
        assert refused.message.startswith("The replica is ") and refused.retry_after_seconds, refused.message
        return True
    return False


def age(settings: Settings) -> float | None:
    registry = CollectorRegistry()
    registry.register(Pipeline(settings))
    return registry.get_sample_value("tripstream_replica_seconds")


def test_postgres_that_was_away_and_a_replica_that_falls_behind_and_catches_up(
    own_servers: Callable[[], Servers], own_state: Callable[[], Path], patient: None
) -> None:
    servers = own_servers()
    settings = servers.settings()
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        sites.add_site(owner, site())
        key = sites.add_key(owner, "shop", "read")
        owner.execute("INSERT INTO daily_stats VALUES ('shop', '2026-01-01', 1, 1, '{}', '')")
    assert (views(settings), age(settings)) == ([1], None)
    servers.postgres.stop(immediate=True)
    for _ in range(2):
        with pytest.raises(StorageError, match="Postgres cannot be reached: try again"):
            views(settings)
    servers.postgres.start()
    assert views(settings) == [1]
    with ExitStack() as in_use, pytest.raises(Busy, match="connections for questions are in use"):  # not: it is away
        for _ in range(settings.read_connections_max + 1):
            in_use.enter_context(db.reading(settings, Scope("shop")))

    replica = replica_of(servers.postgres, own_state())
    try:
        both = settings.model_copy(update={"database_read_url": replica.url(), "replica_seconds_max": 3})
        with (
            psycopg.connect(settings.database_url, autocommit=True) as owner,
            psycopg.connect(replica.url(), autocommit=True) as copy,
        ):

            def tick() -> bool:
                owner.execute("INSERT INTO clock_ticks VALUES ('x', clock_timestamp())")
                return not is_refused(both)

            until(tick, "the replica has caught up")
            assert views(both) == [1] and 0 <= (age(both) or 0) < 60
            copy.execute("SELECT pg_wal_replay_pause()")
            until(
                lambda: copy.execute("SELECT pg_get_wal_replay_pause_state()").fetchall() == [("paused",)], "it pauses"
            )
            owner.execute("UPDATE daily_stats SET total_views = 2")
            until(lambda: is_refused(both), "the replica is too old")
            assert next(found for found in doctor.examine(both) if found.what == "replica").good is False
            assert rights.readable_site(both, {"x-read-key": key}, None) == "shop"  # keys are never asked of a replica
            assert views(settings) == [2]
            copy.execute("SELECT pg_wal_replay_resume()")
            until(tick, "the replica has caught up again")
            until(lambda: tick() and views(both) == [2], "what was written meanwhile is there")
            with db.reading(both, Scope("shop")) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("CREATE TEMP TABLE mine ()")
    finally:
        replica.stop(immediate=True)
    assert age(both) == float("inf")
    with pytest.raises(StorageError, match="Postgres cannot be reached"):
        views(both)
