"""Questions that are asked more often than their answer is worth asking. In: a function. Out: one that asks it at most
once a second, and never twice at once: however many probes and scrapes come, each process costs Postgres a connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def lately(ask: Callable[[], T], seconds: float = 1.0) -> Callable[[], T]:
    """What `ask` answered within the last `seconds`. Who comes while it is being asked waits for that answer."""
    lock = threading.Lock()
    known: list[tuple[float, T]] = []

    def answer() -> T:
        with lock:
            if not known or time.monotonic() - known[0][0] > seconds:
                found = ask()
                known[:] = [(time.monotonic(), found)]
            return known[0][1]

    return answer
