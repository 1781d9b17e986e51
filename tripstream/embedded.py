"""What the two embedded servers have in common: one child process on one data directory.

In: the state directory. Out: a running server and its URL, on a Unix socket that only its user may open; no TCP.
After kill -9 of the server, `start` recovers what was committed. After kill -9 of us, the kernel stops the server
(Linux), or the next start does (elsewhere).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar, Self

from schema.errors import StorageError
from tripstream.children import command_line, die_with_parent
from tripstream.state import Claim, claim, own_dir, prepare, server_user, socket_dir

LOG_BYTES_MAX = 8 << 20


class Server:
    """One server. `start` or `launch` it from the main thread; `stop` it from anywhere."""

    name: ClassVar[str]
    program: ClassVar[str]  # as it shows in the process list
    stop_signal: ClassVar[signal.Signals]
    niceness: ClassVar[int] = 0
    hurry_signal: ClassVar[signal.Signals]
    pid_file: Path

    def __init__(self, state: Path) -> None:
        self.state = state.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._claim: Claim | None = None
        self._log_start = 0

    def url(self) -> str:
        """Where clients connect; known before the server runs."""
        raise NotImplementedError

    def argv(self) -> list[str]:
        """Make the data directory if need be, and say what to run."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the process now running serves requests."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        return self.state / f"{self.name}.log"

    @property
    def sockets(self) -> Path:
        return socket_dir(self.state)

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} was not started"  # noqa: S101
        return self._process.pid

    def start(self, seconds: float = 60.0) -> Self:
        """Launch, and return once the server answers. Raises StorageError with the end of its log otherwise."""
        self.launch()
        deadline = time.monotonic() + seconds
        try:
            while not self.ready():
                if time.monotonic() > deadline:
                    raise StorageError(f"{self.name} was not ready after {seconds:.0f} s; see {self.log}")
                time.sleep(0.005)
        except BaseException:
            self.stop(immediate=True)
            raise
        return self

    def launch(self) -> None:
        """Start the process without waiting for it. Raises ConfigError when another one holds the data."""
        if self.poll() is None and self._process:
            return
        self.state = prepare(self.state)
        if self._claim is None:
            self._claim = claim(self.state, self.name)
        try:
            own_dir(self.sockets)
            argv = self.argv()
            self._end_orphan()
            self._spawn(argv)
        except BaseException:
            self._release()
            raise

    def ready(self) -> bool:
        """Whether it answers yet. Raises StorageError when it ended instead."""
        code = self.poll()
        if code is None:
            return self.answers()
        if "still in use" in self._last_words():  # processes of a killed postmaster are on their way out
            self.launch()
            return False
        raise StorageError(f"{self.name} ended with {code}: {self._last_words()[-800:]} ({self.log})")

    def poll(self) -> int | None:
        """None while it runs, else how it ended."""
        return self._process.poll() if self._process else 0

    def stop(self, *, immediate: bool = False) -> None:
        """Stop in order, or at once (as a crash would, without losing anything committed)."""
        if self._process:
            first = self.hurry_signal if immediate else self.stop_signal
            for number, seconds in ((first, 30), (self.hurry_signal, 10), (signal.SIGKILL, 10)):
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
                    break
            self._process = None
        self._release()

    def hurry(self) -> None:
        """Make a `stop` under way in another thread an immediate one."""
        if process := self._process:
            process.send_signal(self.hurry_signal)

    def kill(self) -> None:
        """kill -9, for tests. `start` again afterwards."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def as_server_user(self) -> dict[str, Any]:
        """Arguments for subprocess that drop root's privileges."""
        user = server_user()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}

    def environment(self) -> dict[str, str]:
        """Ours without what would change a server's mind: locale and libpq variables."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PG"))}
        return kept | {"LC_ALL": "C", "TZ": "UTC"}

    def _spawn(self, argv: list[str]) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=self.environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in order
                preexec_fn=die_with_parent(self.stop_signal, self.niceness), **self.as_server_user(),
            )  # fmt: skip

    def _end_orphan(self) -> None:
        """Stop a server that outlived a killed supervisor, and drop a pid file that would mislead the new one."""
        try:
            pid = int(self.pid_file.read_text().split("\n")[0])
        except FileNotFoundError:
            return
        except ValueError:  # empty or torn: Postgres would refuse to start
            self.pid_file.unlink()
            return
        if not self._is_ours(pid):
            if command_line(pid):  # the pid now belongs to someone else: Postgres would take them for itself
                self.pid_file.unlink()
            return
        for number, seconds in ((self.stop_signal, 30), (self.hurry_signal, 10), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not self._is_ours(pid):
                    return
                time.sleep(0.01)
        raise StorageError(f"an old {self.name}, pid {pid}, will not stop")

    def _is_ours(self, pid: int) -> bool:
        line = command_line(pid)
        return pid != os.getpid() and self.program in line and str(self.state) in line

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return " ".join(log.read().decode(errors="replace").split("\n")[-6:]).strip()

    def _release(self) -> None:
        if self._claim:
            self._claim.release()
            self._claim = None
