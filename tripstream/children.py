"""Child processes that never outlive us, and what can be told about a process from its pid.

In: a signal, or a pid. Out: a `preexec_fn`, facts, or a watch over process groups. However we die, what we started
ends within moments; a server that is still there at the next start is found by its pid file and stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(signal_number: int, niceness: int = 0) -> Callable[[], object]:
    """A `preexec_fn` that makes the kernel send `signal_number` to the child when this process dies."""
    if threading.current_thread() is not threading.main_thread():
        # Linux ties the signal to the thread that forked: a server started from a thread stops when the thread ends.
        raise RuntimeError("start child processes from the main thread")
    if sys.platform != "linux":
        return partial(os.nice, niceness)
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:  # runs after setuid, which would have cleared the signal
        os.nice(niceness)
        prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return in_child


def step_back(by: int) -> None:
    """Leave short cores to other processes, `by` as for nice. Linux gives every session of processes a niceness of its
    own: a process' weighs against its session only."""
    os.nice(by)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(f"{by}")


def command_line(pid: int) -> str:
    """What process `pid` runs; empty when it is gone, or a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout


class Undertaker:
    """A shell that waits for our death and then ends what we started, whole process groups included.

    The kernel's signal above reaches our children only, and only on Linux; this reaches what they forked, anywhere.
    It holds the reading end of a pipe, which ends when we do, and acts on the last line it read.
    """

    SCRIPT = (
        "trap '' INT TERM HUP; last=; while read -r line; do last=$line; done; set -- $last; "
        'while [ $# -gt 1 ]; do kill -s "$1" -- "$2" 2>/dev/null; shift 2; done'
    )

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip

    def watch(self, signals: Iterable[tuple[signal.Signals, int]]) -> None:
        """What to send, should we die now, to which process; a negative number is a process group."""
        assert self._shell.stdin  # noqa: S101
        line = " ".join(f"{number.name[3:]} {target}" for number, target in signals)
        with contextlib.suppress(BrokenPipeError):  # somebody killed the shell: the kernel's signal is left
            self._shell.stdin.write(f"{line}\n".encode())
            self._shell.stdin.flush()

    def dismiss(self) -> None:
        """There is nothing left to end."""
        self.watch(())
        with contextlib.suppress(BrokenPipeError):
            self._shell.communicate(timeout=10)
