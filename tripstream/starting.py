"""Starts one app process: forked off the nursery, or, without one, as a program of its own.

In: an App, an environment, a descriptor for what it prints. Out: a process, the leader of a session of its own, that
does not outlive us.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tripstream.children import die_with_parent
from tripstream.nursery import Nursery


@dataclass(frozen=True)
class App:
    """One app process. With `ready` its layer waits until that holds; ending before then fails the start.

    It alone inherits the open descriptors of `inherits`, under the same numbers, each time it is started.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[bool]] | None = None
    stop_seconds: float = 20.0
    inherits: Sequence[int] = ()


class Process(Protocol):
    """One that was started."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signal: int) -> None: ...


async def start(app: App, environment: Mapping[str, str], output: int, nursery: Nursery | None) -> Process:
    """Start it. Raises NurseryGone, and OSError."""
    if nursery and list(app.argv[:2]) == [sys.executable, "-m"]:
        return await nursery.start(app.name, app.argv, environment, output, app.inherits)
    return await asyncio.create_subprocess_exec(
        *app.argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        env=environment, start_new_session=True, pass_fds=app.inherits,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )  # fmt: skip
