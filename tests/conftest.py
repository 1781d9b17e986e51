"""Real servers for every test that asks: one Postgres and one Valkey for the whole run, a fresh database for each.

In: nothing; the environment's own DATABASE_URL and TRIPSTREAM_* are set aside. Out: fixtures. A server that does not
start is an error, never a skip. After kill -9 of pytest the servers end by themselves (Linux).
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

from schema import migrate, pools
from schema.settings import Settings
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
DISK, MEMORY = Path("/tmp"), Path("/dev/shm")
MEMORY_BYTES_MIN = 3 << 30  # a worker's servers were seen to take 0.3 GB
_numbers = itertools.count(1)


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
    with _state() as path:
        yield path


@pytest.fixture(scope="session")
def own_state() -> Iterator[Callable[[], Path]]:
    """Makes further ones, which live until the end of the run."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_state())


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers that every test shares. Do not kill these: ask for `own_servers`."""
    with _state() as path, _running(path, UNSYNCED) as both:
        migrate.upgrade(both.settings())
        yield both


@pytest.fixture
def settings(servers: Servers) -> Iterator[Settings]:
    """Settings for a migrated database of this test's own, and an empty Valkey."""
    name = f"test_{next(_numbers)}"
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        yield servers.settings(name)
        pools.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_servers() -> Iterator[Callable[[], Servers]]:
    """Makes private servers, migrated and with every durability setting on, that a test may kill and start again."""
    with ExitStack() as stack:

        def make() -> Servers:
            both = stack.enter_context(_running(stack.enter_context(_state(DISK)), {}))
            migrate.upgrade(both.settings())
            return both

        yield make


def _quickest() -> Path:
    """Memory, where there is plenty and programs may run: a clone of the database, 661 files, took 0.03 s there, and 0.2
    to 0.8 on a disk. kill -9 of a server loses neither."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return DISK
    return DISK if found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < MEMORY_BYTES_MIN else MEMORY


@contextmanager
def _state(parent: Path | None = None) -> Iterator[Path]:
    """A directory outside pytest's own, which is closed to other users and too long for a socket."""
    path = Path(tempfile.mkdtemp(prefix="tripstream-", dir=parent or _quickest())).resolve()
    path.chmod(0o711)  # when we are root, the servers' user passes through
    yield path
    shutil.rmtree(path)


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
