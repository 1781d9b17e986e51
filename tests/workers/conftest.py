"""What every test of the workers asks for. They are many, and a clone of the database takes ten times as long as most
of them, so they share one that is emptied after each: rows, not months, and numbers begin again.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import redis

from schema.settings import Settings
from tests.conftest import Servers
from tests.workers.pipeline import Pipeline, pipeline
from tripstream.embedded_postgres import DATABASE
from workers import queue

NAME = "recycled"
TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    " AND NOT relispartition AND relname <> ALL"
    " ('{schema_version,event_sources,event_types,sites,continents,countries,category_limits}') ORDER BY 1"
)
SEQUENCES = "SELECT schemaname || '.' || sequencename, coalesce(last_value, 0) FROM pg_sequences ORDER BY 1"


class Recycled:
    """One database for many tests."""

    def __init__(self, servers: Servers) -> None:
        self.settings = servers.settings(NAME)
        self._server = servers.postgres.url("postgres")
        self._make()

    def _make(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {NAME} TEMPLATE {DATABASE}")
        with psycopg.connect(self.settings.database_url) as connection:
            self._tables = connection.execute(TABLES).fetchall()
            self._numbers = connection.execute(SEQUENCES).fetchall()

    def empty(self) -> None:
        """As it was made, but for months. Where a test left its tables renamed or locked, another one is made."""
        try:
            with psycopg.connect(self.settings.database_url, options="-c lock_timeout=5s") as connection:
                assert connection.execute(TABLES).fetchall() == self._tables
                connection.execute("SET LOCAL session_replication_role = replica")  # foreign keys, whatever the order
                for (table,) in self._tables:
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("DELETE FROM sites WHERE site_id <> 'default'")
                connection.execute("DELETE FROM event_types WHERE NOT seeded")
                connection.execute("INSERT INTO site_zones (site_id, time_zone) SELECT site_id, time_zone FROM sites")
                connection.execute("INSERT INTO rolled_up (as_of) VALUES ('-infinity')")
                for sequence, number in self._numbers:
                    connection.execute("SELECT setval(%s, greatest(%s, 1), %s)", (sequence, number, number > 0))
        except BaseException:
            self._make()
            raise


@pytest.fixture(scope="session")
def recycled(servers: Servers) -> Recycled:
    return Recycled(servers)


@pytest.fixture
def settings(servers: Servers, recycled: Recycled) -> Iterator[Settings]:
    """Settings for an empty database and an empty Valkey."""
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    yield recycled.settings
    recycled.empty()


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline of this test's own."""
    with pipeline(settings) as found:
        yield found


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The test's settings as jobs find them: in the environment. Whatever asked workers to stop is forgotten."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    yield settings
    queue.stopping.clear()
