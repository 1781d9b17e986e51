"""What every test of the accept path may ask for. In: its own database and queue. Out: an application.

A database a test costs 0.3 s, so most tests share one with their module and bring a site of their own instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import settings as hypothesis

from schema.settings import Settings
from tests.conftest import Servers
from tests.ingest.serving import Server, Site, add_site, serving
from tripstream.embedded_postgres import DATABASE
from tripstream.embedded_valkey import Valkey

# The same examples in every run; a search for new ones is `--hypothesis-profile=search`. Nothing depends on speed.
hypothesis.register_profile("same", deadline=None, database=None, derandomize=True)
hypothesis.register_profile("search", deadline=None, database=None, max_examples=3000)
if hypothesis.get_current_profile_name() == "default":
    hypothesis.load_profile("same")
_numbers = itertools.count(1)


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    """The whole application, with the registry published, and a database of this test's own."""
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Server]:
    """The same for a whole module, none of whose tests may ask for `settings`: that empties the queue."""
    name = f"shared_{next(_numbers)}"
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        with serving(servers.settings(name)) as running:
            yield running
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_valkey(servers: Servers, state: Path) -> Iterator[Valkey]:
    """A Valkey that a test may fill, reconfigure and kill."""
    valkey = Valkey(state, bytes_max=64 << 20).start()
    yield valkey
    valkey.stop(immediate=True)


@pytest.fixture
def frail(settings: Settings, own_valkey: Valkey) -> Iterator[Server]:
    """The application on that Valkey; it gives up on a call after 0.3 s."""
    with serving(settings.model_copy(update={"redis_url": own_valkey.url(), "redis_seconds_max": 0.3})) as running:
        yield running


@pytest.fixture
def site(shared: Server) -> Site:
    """A site of this test's own in the shared application."""
    site_id = f"site-{next(_numbers)}"
    key = add_site(shared.settings, site_id)
    shared.look()
    return Site(shared, site_id, key)
