"""`tripstream up`: everything on one machine, by one command.

In: settings; a URL that is set is used, one that is not gets an embedded server. Out: the exit code, once everything
has stopped. A second start on the same state is refused; after kill -9 a new start takes over what was left. The port
is ours and the web processes inherit it: while one of them is away, connections wait and are not refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from schema import demo
from schema.errors import StorageError
from schema.settings import Settings, env_name
from tripstream import running, serve
from tripstream.children import die_with_parent
from tripstream.embedded import Server
from tripstream.embedded_postgres import Postgres
from tripstream.embedded_valkey import Valkey
from tripstream.nursery import Nursery, threads_here
from tripstream.starting import App
from tripstream.state import claim, prepare
from tripstream.supervisor import STOP_SIGNALS, Supervisor

_PRELOADED = (
    "tripstream.cli",
    "tripstream.app",
    "tripstream.serve",
    "workers.agents",
    "workers.jobs",
    "workers.clock",
    "workers.rollup",
    "workers.mover",
    "workers.erasure",
    "recommender.building",
    "datasketches",
)


def up(settings: Settings) -> int:
    """Start everything, and stop it again on Ctrl-C or SIGTERM."""
    with ExitStack() as stack:
        interrupt_if_lost = stack.enter_context(signals_interrupt())
        settings = settings.model_copy(update={"state": prepare(settings.state)})
        stack.callback(claim(settings.state, running.LOCK).release)
        running.withdraw(settings)  # left by a start that was killed
        listener = stack.enter_context(serve.listen(settings))
        is_ours = not settings.database_url
        servers, settings = _start_servers(settings, stack)
        interrupt_if_lost()
        settings = settings.model_copy(update={"admin_key": _admin_key(settings)})
        if is_ours and settings.demo_occurrences:
            settings = settings.model_copy(update=_demo_issuer(settings))
        loaded = _migrate(settings, settings.demo_occurrences if is_ours else 0)
        running.announce(settings)
        stack.callback(running.withdraw, settings)
        nursery = stack.enter_context(Nursery()) if _may_fork() else None
        supervisor = Supervisor(servers, layers(settings, listener), environment(settings), nursery=nursery)
        interrupt_if_lost()
        # Closed when stopping begins: what connects after the last web process has ended is refused, and not left to
        # wait for nobody while the servers stop.
        return asyncio.run(supervisor.run(partial(_summary, supervisor, settings, loaded), stopping=listener.close))
    return 130  # interrupted while starting


def layers(settings: Settings, listener: socket.socket) -> list[list[App]]:
    """The app processes, in the order they start."""
    drains = [_app(f"drain-{lane}", "worker", "drain") for lane in range(settings.lanes)]
    return [
        _web(settings, listener),
        [*drains, _app("chores", "worker", "chores"), _app("clock", "clock")],
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Our environment with these settings in it, for child processes."""
    values = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        values[env_name(name)] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return {**os.environ, **values}


@contextmanager
def signals_interrupt() -> Iterator[Callable[[], None]]:
    """Until the supervisor takes them over, stop signals end the start as Ctrl-C does, servers included. Yields what
    interrupts where one came and was lost: Python ignores whatever is raised in what it calls after a fork."""
    came = False

    def interrupt(_number: int, _frame: object) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def interrupt_if_lost() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield interrupt_if_lost
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_servers(settings: Settings, stack: ExitStack) -> tuple[list[Server], Settings]:
    servers: list[Server] = []
    update = {}
    if not settings.database_url:
        servers.append(Postgres(settings.state))
        update["database_url"] = servers[-1].url()
    if not settings.redis_url:
        servers.append(Valkey(settings.state, settings.redis_bytes))
        update["redis_url"] = servers[-1].url()
    for server in servers:
        stack.callback(server.stop)
        server.start()
    return servers, settings.model_copy(update=update)


def _may_fork() -> bool:
    """A debugger or the like may run threads here, which a forked process would miss: then each starts by itself."""
    return Nursery.is_possible() and threads_here() == 1


def _preload() -> None:
    """Import what the app processes need, and make what each would make for itself: patterns, the command line."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy would start threads, which are not forked; nothing needs them
    modules: dict[str, Any] = {name: import_module(name) for name in _PRELOADED}
    modules["workers.agents"].classify("")
    modules["tripstream.cli"].app.commands()


def _migrate(settings: Settings, occurrences: int) -> list[str]:
    """In a process of its own: Alembic would stay here for as long as everything runs. Returns what it says of trips
    that it loaded. Meanwhile we import what is forked later."""
    with subprocess.Popen(
        [sys.executable, "-m", "tripstream", "migrate", f"--demo={occurrences}"],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(signal.SIGKILL),
    ) as migration:
        if Nursery.is_possible():
            _preload()
        out, error = migration.communicate()
    if migration.returncode:
        raise StorageError(error.strip().split("\n")[-1].removeprefix("tripstream: "))
    return out.splitlines()[1:]


def _admin_key(settings: Settings) -> SecretStr:
    return settings.admin_key if settings.admin_key.get_secret_value() else _kept(settings.state / "admin.key")


def _demo_issuer(settings: Settings) -> dict[str, object]:
    """Settings under which the demo shop may sign people in; none where somebody else's tokens count."""
    if settings.jwt_jwks_url or settings.jwt_issuer or settings.jwt_audience or settings.jwt_secret.get_secret_value():
        return {}
    secret = _kept(settings.state / "demo-jwt.key")
    return {"jwt_secret": secret, "jwt_issuer": demo.ISSUER, "jwt_audience": demo.AUDIENCE}


def _kept(path: Path) -> SecretStr:
    """A key in the state directory, made by the first who asks."""
    if not path.exists():  # written under another name first: one cut short by a crash is not taken for the key
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(24) + "\n")
        fresh.rename(path)
    return SecretStr(path.read_text().strip())


def _app(name: str, *arguments: str) -> App:
    return App(name, [sys.executable, "-m", "tripstream", *arguments])


def _web(settings: Settings, listener: socket.socket) -> list[App]:
    """The processes that share the port. Each has a pipe, open for as long as we live, to say that it accepts."""
    many, apps = settings.web_processes > 1, []
    for number in range(1, settings.web_processes + 1):
        reading, writing = os.pipe()
        app = _app(f"web.{number}" if many else "web", "web", f"--fd={listener.fileno()}", f"--started-fd={writing}")
        ready = partial(_web_ready, reading, settings)
        apps.append(replace(app, ready=ready, inherits=(listener.fileno(), writing)))
    return apps


async def _web_ready(reading: int, settings: Settings) -> bool:
    """Whether this process accepts connections, and whoever answers on the port has all that it needs."""
    accepts = bool(select.select([reading], [], [], 0)[0])
    return accepts and await _answers_ready(settings.host, settings.port)


async def _answers_ready(host: str, port: int) -> bool:
    """Whether GET /readyz answers 200."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(_reachable(host), port)
            writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]


def _reachable(host: str) -> str:
    """An address to connect to, for one to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 compared


def _script() -> str:
    """How to call us from a shell here: beside this Python, which is hardly on the PATH."""
    script = Path(sys.executable).with_name("tripstream")
    if not script.exists():
        return f"{sys.executable} -m tripstream"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def _summary(supervisor: Supervisor, settings: Settings, loaded: list[str]) -> None:
    host = _reachable(settings.host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    lines = (
        f"Tripstream is up on {address}",
        f"data, logs and admin key: {settings.state}",
        *(f"{line}; to remove it: {_script()} seed --replace --occurrences 0" for line in loaded),
        f"look inside: {_script()} psql; {_script()} status",
        "stop: Ctrl-C",
        f"to see it work, open {address}/ and {address}/dashboard",
    )
    for line in lines:
        supervisor.say("tripstream", line)
