"""Child processes that never outlive us, and what can be told about a process from its pid.

In: a signal, or a pid. Out: a `preexec_fn`, or facts. On Linux the kernel sends the signal when we die, however we
die; elsewhere a server left behind is found by its pid file and stopped at the next start.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """A `preexec_fn` that makes the kernel send `signal_number` to the child when this process dies."""
    if threading.current_thread() is not threading.main_thread():
        # Linux ties the signal to the thread that forked: a server started from a thread stops when the thread ends.
        raise RuntimeError("start child processes from the main thread")
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:  # runs after setuid, which would have cleared the signal
        prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return in_child


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
