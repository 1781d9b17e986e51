"""Real servers for every test that asks: one Postgres and one Valkey for the whole run, a fresh database for each.

In: nothing; the environment's own DATABASE_URL and TRIPSTREAM_* are set aside. Out: fixtures. A server that does not
start is an error, never a skip. After kill -9 of pytest the servers end by themselves (Linux).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from xdist.scheduler import LoadFileScheduling

from schema import migrate, pools
from schema.settings import Settings
from tests.scratch import DISK, directory
from tripstream.embedded_postgres import DATABASE, Postgres
from tripstream.embedded_valkey import Valkey

for _name in [
    n
    for n in os.environ
    if n.startswith("TRIPSTREAM_") or n.endswith(("DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL"))
]:
    del os.environ[_name]

# What a crash of the machine would lose, no test can see; clones of the database cost half as much.
UNSYNCED = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
_numbers = itertools.count(1)


class Scheduling(LoadFileScheduling):
    """A worker takes a file at a time, and all files of the browser: one stack, and one season of visits, is enough."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@dataclass(frozen=True)
class Servers:
    """A Postgres and a Valkey; `settings` points at them."""

    postgres: Postgres
    valkey: Valkey

    def settings(self, database: str = DATABASE, **overrides: object) -> Settings:
        values = {
            "database_url": self.postgres.url(database),
            "redis_url": self.valkey.url(),
            "state": self.postgres.state,
        }
        return Settings(**values | overrides)  # type: ignore[arg-type]


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state directory, short enough for sockets and open to the servers' user when we are root."""
    with directory() as path:
        yield path


@pytest.fixture(scope="session")
def own_state() -> Iterator[Callable[[], Path]]:
    """Makes further ones, which live until the end of the run."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(directory())


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers that every test shares. Do not kill these: ask for `own_servers`."""
    with directory() as path, _running(path, UNSYNCED) as both:
        migrate.upgrade(both.settings())
        yield both


@pytest.fixture
def settings(servers: Servers) -> Iterator[Settings]:
    """Settings for a migrated database of this test's own, and an empty Valkey."""
    name = f"test_{next(_numbers)}"
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY FILE_COPY")  # in half of the time
        yield servers.settings(name)
        pools.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_servers() -> Iterator[Callable[[], Servers]]:
    """Makes private servers, migrated and with every durability setting on, that a test may kill and start again."""
    with ExitStack() as stack:

        def make() -> Servers:
            both = stack.enter_context(_running(stack.enter_context(directory(DISK)), {}))
            migrate.upgrade(both.settings())
            return both

        yield make


@contextmanager
def _running(state: Path, options: dict[str, str]) -> Iterator[Servers]:
    both = Servers(Postgres(state, options), Valkey(state, bytes_max=256 << 20))
    try:
        both.postgres.start()
        both.valkey.start()
        yield both
    finally:
        both.valkey.stop(immediate=True)
        both.postgres.stop(immediate=True)
