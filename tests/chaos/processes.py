"""The processes that a test kills, each the product's own: drain, RQ worker, clock, ingest. In: settings, and orders
over a pipe. Out: what they do.

They are forked from one that has imported everything, so that a new one costs milliseconds. RQ's worker is a
SimpleWorker, whose jobs run in its own process: there is no horse, and kill -9 of the worker is kill -9 of the job.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
from redis.exceptions import RedisError

from ingest import app as ingest_app
from schema import db, stream
from schema.errors import StorageError
from schema.settings import Settings, env_name
from tests.chaos import points
from tests.tripstream.waiting import until
from tripstream import serve
from workers import clock, jobs, queue, rollup, upkeep

KILL, HOLD, HELD, GO, STOP = "kill", "hold", "held", "go", "stop"
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["tests.chaos.processes"])


class Process:
    """A child, and a pipe to its trap."""

    def __init__(self, main: Callable[..., None], settings: Settings, *args: Any) -> None:
        self._pipe, theirs = _FORK.Pipe()
        self.log = settings.state / "chaos.log"
        self._child = _FORK.Process(target=_begin, args=(main, settings, self.log, theirs, args), daemon=True)
        self._child.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return self._child.pid or 0

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._child.exitcode

    def arm(self, point: str, after: int = 1, action: str = KILL) -> None:
        """At the `after`-th visit of `point`, die, or hold and wait for `go`."""
        self._pipe.send((point, after, action))

    def died(self) -> bool:
        """Whether it is gone by kill -9."""
        assert self.code in (None, -signal.SIGKILL), f"it ended by itself with {self.code}: {self.words()}"
        return self.code is not None

    def words(self) -> str:
        """The end of what the processes of this state directory wrote."""
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    def held(self) -> bool:
        """Whether it reached the point at which it was to hold."""
        return self._pipe.poll() and self._pipe.recv() == HELD

    def go(self) -> None:
        """Let it go on from where it holds."""
        self._pipe.send(GO)

    def kill(self) -> None:
        self._child.kill()
        self._child.join(10)

    def stop(self) -> None:
        """Ask it to stop."""
        if not self._pipe.closed:
            with contextlib.suppress(OSError):
                self._pipe.send(STOP)

    def end(self) -> None:
        """Ask it to stop, and wait."""
        self.stop()
        self._child.join(10)
        if self._child.is_alive():
            self.kill()
        self._pipe.close()


class _Trap:
    """What the pipe armed."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._armed: tuple[str, int, str] | None = None
        self._go = threading.Event()
        self.stop = threading.Event()

    def listen(self) -> None:
        """Take orders until the parent goes away."""
        try:
            while True:
                order = self._pipe.recv()
                if order == STOP:
                    self.stop.set()
                    self._go.set()
                elif order == GO:
                    self._go.set()
                else:
                    self._go.clear()
                    self._armed = order
        except (EOFError, OSError):
            os._exit(3)

    def visit(self, point: str) -> None:
        if self._armed is None or self._armed[0] != point:
            return
        _, after, action = self._armed
        if after > 1:
            self._armed = (point, after - 1, action)
        elif action == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            self._armed = None
            self._pipe.send(HELD)
            self._go.wait()


def drains(settings: Settings, trap: _Trap, lanes: list[int], locked: bool = True, mistake: str = "") -> None:
    """Drain until told to stop. An error ends one life of the drain; the next begins at once, as the clock sees to.

    `locked`: respect the lanes' locks. `mistake`: be wrong in that way.
    """
    points.set_points(trap.visit)
    points.die_of(points.DEADLY)
    if mistake:
        points.make_mistake(mistake)
    if not locked:
        jobs.lane_lock = _unlocked  # type: ignore[attr-defined]
    while not trap.stop.is_set():
        try:
            with jobs.drains(settings, lanes) as found:
                while found and not trap.stop.is_set() and not stream.is_paused(found[0].redis):
                    for each in found:
                        each.run_once(20)
        except (psycopg.Error, RedisError, StorageError, OSError) as error:
            _say(f"{type(error).__name__}: {error}")
        trap.stop.wait(0.02)


def worker(settings: Settings, trap: _Trap, name: str) -> None:
    """The real RQ worker of one queue."""
    points.set_points(trap.visit)
    threading.Thread(target=lambda: trap.stop.wait() and os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
    sys.exit(queue.work(settings, name))


def chores(settings: Settings, trap: _Trap) -> None:
    """Roll up and mirror, over and over, beside the drains."""
    while not trap.stop.wait(0.5):
        try:
            with db.connect(settings) as connection:
                rollup.run_once(connection)
            upkeep.mirror(settings)
        except (psycopg.Error, RedisError, StorageError, OSError) as error:
            _say(f"{type(error).__name__}: {error}")


def ticker(settings: Settings, trap: _Trap) -> None:
    """The real clock; what was accepted is mirrored every two seconds, and not every fifteen."""
    soon = {"mirror": timedelta(seconds=2)}
    clock.CHORES = tuple(chore._replace(every=soon.get(chore.name, chore.every)) for chore in clock.CHORES)
    clock.run(settings, trap.stop.is_set)


def web(settings: Settings, trap: _Trap) -> None:
    """The real ingest app under the real server."""
    threading.Thread(target=lambda: trap.stop.wait() and os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
    serve.serve(ingest_app.create(settings), settings)


def end_all(processes: Iterable[Process]) -> None:
    """Stop them all at once."""
    ending = list(processes)
    for process in ending:
        process.stop()
    for process in ending:
        process.end()


def wait_for_death(process: Process, what: str) -> None:
    until(process.died, what, 30)


@contextmanager
def _unlocked(*_: Any, **__: Any) -> Iterator[bool]:
    yield True


def _begin(main: Callable[..., None], settings: Settings, log: Path, pipe: Connection, args: tuple[Any, ...]) -> None:
    if sys.platform == "linux":  # nobody outlives a killed pytest
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for name in ("database_url", "redis_url", "lanes", "drain_seconds_max"):  # RQ jobs read the environment
        os.environ[env_name(name)] = str(getattr(settings, name))
    trap = _Trap(pipe)
    threading.Thread(target=trap.listen, daemon=True).start()
    main(settings, trap, *args)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.time():.3f} {os.getpid()} {text}\n")
    sys.stderr.flush()
