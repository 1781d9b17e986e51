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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from schema import migrate, sites
from schema.settings import Settings, env_name
from tripstream import serve, up
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
    def fresh(self, *, flush: bool = True, **overrides: object) -> Iterator[Settings]:
        """An empty migrated database and, with `flush`, an emptied Valkey, with the registry published."""
        name = f"bench_{next(_numbers)}"
        if flush:
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

    def redis(self) -> Any:
        """A plain client of the Valkey; Any, because redis-py types every answer as perhaps awaitable."""
        return Redis.from_url(self.valkey.url())


@contextmanager
def running() -> Iterator[Servers]:
    """Both servers, started; stopped and removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="tripbench-", dir="/tmp")).resolve()  # short enough for sockets
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
    """What a child process needs to find the same servers, and nothing of the caller's own settings."""
    ours = up.environment(settings)
    foreign = {name for name in ours if name.startswith("TRIPSTREAM_") or name.endswith("_URL")}
    named = {env_name(field) for field in Settings.model_fields}
    return {k: v for k, v in ours.items() if k in named or k not in foreign} | {"PYTHONPATH": str(ROOT)}


@contextmanager
def process(
    argv: list[str], settings: Settings, name: str, inherits: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A child of the product's, ended at the latest when the block ends. Its log is beside the servers' data."""
    with (settings.state / f"{name}.log").open("ab") as out:
        child = subprocess.Popen(
            argv, env=environment(settings), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT,
            start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM), pass_fds=inherits,
        )  # fmt: skip
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def web(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The product's web process, answering when the block begins."""
    with process([sys.executable, "-m", "tripstream", "web"], settings, "web") as child:
        await_http(settings, child, "web")
        yield child


@contextmanager
def webs(settings: Settings, count: int) -> Iterator[None]:
    """So many web processes on one listening socket, as `tripstream up` has them; all accept when the block begins."""
    with ExitStack() as stack:
        listener = stack.enter_context(serve.listen(settings))
        started = [os.pipe() for _ in range(count)]
        for number, (_, writing) in enumerate(started):
            inherits = (listener.fileno(), writing)
            argv = [sys.executable, "-m", "tripstream", "web", f"--fd={inherits[0]}", f"--started-fd={inherits[1]}"]
            stack.enter_context(process(argv, settings, f"web-{number}", inherits))
            os.close(writing)
        for reading, _ in started:
            if not os.read(reading, 1):
                raise RuntimeError("a web process did not start")
            os.close(reading)
        yield


@contextmanager
def served(app: str, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Another ASGI app ("module:attribute") under the product's server software, as it comes."""
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    argv = [sys.executable, "-m", "uvicorn", app, "--port", str(settings.port), *options]
    with process(argv, settings, app.partition(":")[0]) as child:
        await_http(settings, child, app.partition(":")[0])
        yield child


@contextmanager
def stack(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`tripstream up`: web, drains, chores and clock; with servers of its own where the settings name none."""
    own = settings.model_copy(update={"state": settings.state / f"up-{next(_numbers)}"})
    own.state.mkdir(mode=0o711)
    with process([sys.executable, "-m", "tripstream", "up"], own, "up") as child:
        await_http(own, child, "up", "/readyz")
        yield child


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_http(settings: Settings, child: subprocess.Popen[bytes], name: str, path: str = "/healthz") -> None:
    """Wait until it answers. Raises RuntimeError with the end of its log when it ends, or does not for 90 s."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 300:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    log = settings.state / f"{name}.log"
    raise RuntimeError(f"{name} did not start; the end of {log}:\n{log.read_text(errors='replace')[-2000:]}")
