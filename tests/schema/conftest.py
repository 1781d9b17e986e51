"""What the tests of the schema ask for: databases in any state of migration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest
from redis import Redis

from schema import stream
from schema.settings import Settings
from tests.conftest import Servers
from tests.workers.pipeline import Pipeline, pipeline
from tripstream.embedded_postgres import DATABASE

_numbers = itertools.count(1)


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[Callable[[], Settings]]:
    """Makes settings for one more database that nobody has migrated."""
    made: list[str] = []
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:

        def make() -> Settings:
            made.append(f"empty_{next(_numbers)}")
            connection.execute(f"CREATE DATABASE {made[-1]} TEMPLATE template0")
            return servers.settings(made[-1])

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Settings]:
    """Settings for a migrated database that the tests of one file share: they leave it as they found it."""
    name = f"shared_{next(_numbers)}"
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        yield servers.settings(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owner(shared: Settings) -> Iterator[psycopg.Connection]:
    """A connection as owner, whose transaction is undone."""
    with psycopg.connect(shared.database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline of this test's own."""
    with pipeline(settings) as found:
        yield found


@pytest.fixture
def valkey(servers: Servers) -> Iterator[Redis]:
    """An empty Valkey, without a database beside it."""
    with stream.connect(servers.valkey.url()) as redis:
        redis.flushall()
        yield redis
