"""Private servers with every durability setting on, and the product's processes beside them.

In: nothing of the caller's environment. Out: a migrated Postgres and a Valkey of this run's own, databases cloned
from it, and child processes with the right environment. When the benchmark is killed, all of it ends with it.
"""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from redis import Redis

from schema import migrate, sites
from schema.settings import Settings
from tripstream.children import die_with_parent
from tripstream.embedded_postgres import DATABASE, Postgres
from tripstream.embedded_valkey import Valkey

ROOT = Path(__file__).parent.parent
VALKEY_BYTES = 2 << 30
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Servers:
    """A Postgres and a Valkey."""

    postgres: Postgres
    valkey: Valkey

    def settings(self, database: str, **overrides: object) -> Settings:
        """The product's settings for one of the databases."""
        values = {
            "database_url": self.postgres.url(database),
            "redis_url": self.valkey.url(),
            "state": self.postgres.state,
        }
        return Settings(**values | overrides)  # type: ignore[arg-type]

    @contextmanager
    def fresh(self, **overrides: object) -> Iterator[Settings]:
        """An empty migrated database and an emptied Valkey, with the registry published."""
        name = f"bench_{next(_numbers)}"
        with self.redis() as redis:
            redis.flushall()
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
            settings = self.settings(name, **overrides)
            sites.announce(settings)
            try:
                yield settings
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def redis(self) -> Redis:
        """A plain client of the Valkey."""
        return Redis.from_url(self.valkey.url())


@contextmanager
def running() -> Iterator[Servers]:
    """Both servers, started; stopped and removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="tripbench-", dir="/tmp")).resolve()  # noqa: S108 short enough for sockets
    path.chmod(0o711)  # when we are root, the servers' user passes through
    both = Servers(Postgres(path), Valkey(path, bytes_max=VALKEY_BYTES))
    try:
        both.postgres.start()
        both.valkey.start()
        migrate.upgrade(both.settings(DATABASE))
        yield both
    finally:
        both.valkey.stop(immediate=True)
        both.postgres.stop(immediate=True)
        shutil.rmtree(path, ignore_errors=True)


def environment(settings: Settings) -> dict[str, str]:
    """What a child process needs to find the same servers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRIPSTREAM_") and not k.endswith("_URL")}
    return kept | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRIPSTREAM_STATE": str(settings.state),
        "TRIPSTREAM_LANES": str(settings.lanes),
        "TRIPSTREAM_PORT": str(settings.port),
        "TRIPSTREAM_WEB_PROCESSES": str(settings.web_processes),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def process(argv: list[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child with its output in `log`, ended at the latest when the block ends."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT, start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def python(code: str) -> list[str]:
    """An argv that runs a line of Python."""
    return [sys.executable, "-c", code]


@contextmanager
def web(app: str, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """An ASGI app under the product's own server settings, answering when the block begins."""
    code = f"from schema import settings; from tripstream.serve import serve; serve({app!r}, settings.load())"
    with process(python(code), environment(settings), settings.state / "web.log") as child:
        _await_http(settings, child)
        yield child


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_http(settings: Settings, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            return
        except OSError:
            if child.poll() is not None:
                break
            time.sleep(0.02)
        finally:
            connection.close()
    raise RuntimeError(f"the web process did not start; see {settings.state / 'web.log'}:\n" + _tail(settings))


def _tail(settings: Settings) -> str:
    return (settings.state / "web.log").read_text(errors="replace")[-2000:]
