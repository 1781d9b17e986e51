"""Runs servers and app processes as one: ordered start, prefixed logs, restarts, ordered stop.

In: servers already started, and layers of apps; a layer starts when the one before it is ready. Out: the exit code:
0 after a signal, 1 when something would not stay up. After kill -9 of the supervisor nothing it started lives on;
the next start finds the servers' data as a crash leaves it, which they recover from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from schema.errors import TripstreamError
from tripstream.children import Undertaker
from tripstream.embedded import Server
from tripstream.nursery import Nursery, NurseryGone
from tripstream.starting import App, Process, start

LINE_BYTES_MAX = 1 << 20
SYSTEM = "tripstream"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try again."""

    first_pause_seconds: float = 0.5
    pause_seconds_max: float = 15.0
    settled_seconds: float = 30.0  # up for this long: earlier failures are forgotten
    failures_max: int = 8
    ready_seconds: float = 60.0
    poll_seconds: float = 0.25


@dataclass
class _Failures:
    """Counts what happened in a row, and says how long to pause before the next try."""

    patience: Patience
    count: int = 0

    def after(self, seconds_up: float) -> float | None:
        """The pause, or None when it failed too often."""
        self.count = 1 if seconds_up >= self.patience.settled_seconds else self.count + 1
        if self.count > self.patience.failures_max:
            return None
        pause: float = self.patience.first_pause_seconds * 2 ** (self.count - 1)
        return min(pause, self.patience.pause_seconds_max)


@dataclass
class _Child:
    app: App
    is_up: bool = False
    process: Process | None = None
    task: asyncio.Task[None] | None = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL goes to everything it forked as well."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number) if number == signal.SIGKILL else self.process.send_signal(number)


class Supervisor:
    """`run` it once, from the main thread."""

    def __init__(
        self,
        servers: Sequence[Server],
        layers: Sequence[Sequence[App]],
        environment: Mapping[str, str],
        patience: Patience = Patience(),
        nursery: Nursery | None = None,
    ) -> None:
        self.servers, self.layers, self.patience, self.nursery = servers, layers, patience, nursery
        self.environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._children: list[list[_Child]] = []
        self._done = asyncio.Event()
        self._code = 0
        self._hurried = False
        self._undertaker = Undertaker()
        self._width = max(len(SYSTEM), *(len(app.name) for layer in layers for app in layer))

    async def run(self, started: Callable[[], None], stopping: Callable[[], None] = lambda: None) -> int:
        """Start the layers, call `started`, and return once everything, the servers included, has stopped.

        `stopping` is called when that begins: before anything is stopped, and nothing is started from then on.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        self._tell_undertaker()
        watches = [asyncio.create_task(self._watch(server)) for server in self.servers]
        try:
            if await self._start():
                started()
            await self._done.wait()
        finally:
            self._done.set()
            stopping()
            await asyncio.gather(*watches, return_exceptions=True)
            await self._stop()
            self._undertaker.dismiss()
        return self._code

    def say(self, name: str, line: str) -> None:
        """One line on stdout. Never fails: a closed terminal must not stop what runs."""
        try:
            sys.stdout.write(f"{name:<{self._width}} | {line}\n")
            sys.stdout.flush()
        except OSError:
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), sys.stdout.fileno())

    async def _start(self) -> bool:
        for layer in self.layers:
            children = [_Child(app) for app in layer]
            self._children.append(children)
            for child in children:
                child.task = asyncio.create_task(self._keep(child))
            for child in children:
                await self._until_ready(child)
            if self._done.is_set():
                return False
        return True

    async def _until_ready(self, child: _Child) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience.ready_seconds
        while not child.is_up and not self._done.is_set():
            if child.app.ready and await child.app.ready():
                child.is_up = True
            elif loop.time() > deadline:
                self._fail(f"{child.app.name} was not ready after {self.patience.ready_seconds:.0f} s")
            else:
                await self._pause(0.05)

    async def _keep(self, child: _Child) -> None:
        """Run the app again and again, until we stop or it fails too often."""
        loop = asyncio.get_running_loop()
        failures = _Failures(self.patience)
        while not self._done.is_set():
            began = loop.time()
            try:
                code = await self._once(child)
            except OSError as error:
                self._fail(f"{child.app.name} cannot be started: {error}")
                break
            if self._done.is_set():
                break
            pause = failures.after(loop.time() - began)
            if pause is None or not child.is_up:
                self._fail(f"{child.app.name} ended with {code}{'' if child.is_up else ' while starting'}")
                break
            self.say(SYSTEM, f"{child.app.name} ended with {code}; starting it again in {pause:.1f} s")
            await self._pause(pause)

    async def _once(self, child: _Child) -> int:
        """One life of an app process."""
        reading, writing = os.pipe()
        try:
            # The pipe is ours and not asyncio's, whose wait() would, in some versions, wait for a grandchild too.
            child.process = await self._start_process(child.app, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._tell_undertaker()
        if child.app.ready is None:
            child.is_up = True
        if self._done.is_set():  # stopped between fork and here
            child.send(signal.SIGTERM)
        relay = asyncio.create_task(self._relay(child.app.name, reading))
        code = await child.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)  # what it forked and left
        self._tell_undertaker()
        await asyncio.wait({relay}, timeout=1)
        relay.cancel()
        return code

    async def _start_process(self, app: App, output: int) -> Process:
        try:
            return await start(app, self.environment, output, self.nursery)
        except NurseryGone:  # what it started runs on
            self.say(SYSTEM, "the process that others are forked from has ended: from now on they share no memory")
            self.nursery = None
            return await start(app, self.environment, output, None)

    async def _relay(self, name: str, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
        )
        rest = b""
        try:
            while chunk := await reader.read(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self.say(name, line.decode(errors="replace"))
        finally:
            if rest:
                self.say(name, rest.decode(errors="replace"))
            transport.close()

    async def _watch(self, server: Server) -> None:
        """Start a server again when it ends by itself; the apps reconnect."""
        loop = asyncio.get_running_loop()
        failures, began = _Failures(self.patience), loop.time()
        while not await self._pause(self.patience.poll_seconds):
            if (code := server.poll()) is None:
                continue
            self.say(SYSTEM, f"{server.name} ended with {code}; starting it again")
            pause = failures.after(loop.time() - began)
            if pause is None:
                self._fail(f"{server.name} ended too often; see {server.log}")
                break
            began = loop.time()
            try:
                await self._start_again(server)
            except TripstreamError as error:
                self._fail(str(error))
                break
            await self._pause(pause)

    async def _start_again(self, server: Server) -> None:
        server.launch()  # not in a thread: the kernel ties the server's death to the thread that forks it
        self._tell_undertaker()
        while not server.ready():
            if await self._pause(0.02):
                return
        self.say(SYSTEM, f"{server.name} is back")

    async def _pause(self, seconds: float) -> bool:
        """Sleep, or return True at once when we are to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), seconds)
        return self._done.is_set()

    async def _stop(self) -> None:
        for children in reversed(self._children):
            await asyncio.gather(*(self._stop_child(child) for child in children))
        for server in reversed(self.servers):
            await asyncio.to_thread(server.stop, immediate=self._hurried)
            self._tell_undertaker()

    async def _stop_child(self, child: _Child) -> None:
        assert child.task  # noqa: S101
        first = signal.SIGKILL if self._hurried else signal.SIGTERM
        for number, seconds in ((first, child.app.stop_seconds), (signal.SIGKILL, 5.0)):
            child.send(number)
            if (await asyncio.wait({child.task}, timeout=seconds))[0]:
                break
            self.say(SYSTEM, f"{child.app.name} did not stop in {seconds:.0f} s")

    def _fail(self, why: str) -> None:
        self.say(SYSTEM, f"stopping, because {why}")
        self._code = 1
        self._done.set()

    def _on_signal(self, number: signal.Signals) -> None:
        if not self._done.is_set():
            self.say(SYSTEM, f"{number.name}: stopping; once more to hurry")
            self._done.set()
            return
        self.say(SYSTEM, f"{number.name}: hurrying")
        self._hurried = True
        for child in self._all_children():
            child.send(signal.SIGKILL)
        for server in self.servers:
            server.hurry()

    def _all_children(self) -> Iterator[_Child]:
        return (child for children in self._children for child in children)

    def _tell_undertaker(self) -> None:
        alive = [c.process.pid for c in self._all_children() if c.process and c.process.returncode is None]
        servers = [(s.stop_signal, s.pid) for s in self.servers if s.poll() is None]
        self._undertaker.watch([*((signal.SIGKILL, -pid) for pid in alive), *servers])
