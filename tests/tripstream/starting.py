"""A `tripstream up` in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schema.settings import Settings
from tests.tripstream.waiting import until
from tripstream.children import command_line


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """One `tripstream up` and its log."""

    def __init__(
        self, state: Path, log: Path, module: str = "tests.tripstream.standalone_up", **variables: str
    ) -> None:
        self.state, self.path = state, log
        self.environment = (
            os.environ
            | {
                "TRIPSTREAM_STATE": str(state),
                "TRIPSTREAM_PORT": str(free_port()),
                "TRIPSTREAM_DEMO_OCCURRENCES": "0",
            }
            | variables
        )
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "up"],
                stdout=out,
                stderr=out,
                env=self.environment,
            )

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.environment['TRIPSTREAM_PORT']}"

    def log(self) -> str:
        return self.path.read_text()

    def is_up(self) -> Up:
        until(lambda: "Tripstream is up" in self.log() or self.process.poll() is not None, "it is up", 60)
        assert self.process.poll() is None, self.log()
        return self

    def ends(self) -> int:
        until(lambda: self.process.poll() is not None, "it ends")
        return self.process.wait()

    def server_pids(self) -> list[int]:
        """Pids of the servers in its state directory; of those that have ended, none."""
        files = [*self.state.glob("pg*/postmaster.pid"), *self.state.glob("valkey/valkey.pid")]
        found = []
        for file in files:
            with suppress(FileNotFoundError, IndexError):  # its server has just ended, and taken it away
                found.append(int(file.read_text().split()[0]))
        return found


@contextmanager
def upon(settings: Settings, state: Path, log: Path) -> Iterator[Up]:
    """The product as people start it, on servers that the test can look into; killed in the end."""
    given = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    started = Up(state, log, "tripstream", **given)
    try:
        yield started.is_up()
    finally:
        started.process.kill()
        started.process.wait()


def descendants(pid: int) -> list[int]:
    """Every process below this one."""
    shown = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [(int(child), int(parent)) for child, parent in map(str.split, shown.stdout.splitlines())]
    found = {pid}
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def web_pids(one: Up) -> list[int]:
    """Its web processes."""
    return [pid for pid in descendants(one.process.pid) if re.search(r"\btripstream web\b", command_line(pid))]
