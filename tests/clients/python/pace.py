"""What every Python driver does: read its arguments, send at an even pace, say what came of it.

In: URL, key, count, and seconds to spread them over; the count is sent once for every line on stdin. Out, when stdin
ends: one line of JSON: `sent`, and `failures` in words.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Asked(NamedTuple):
    """The command line."""

    url: str
    key: str
    count: int
    seconds: float


def asked() -> Asked:
    """What to do."""
    url, key, count, seconds = sys.argv[1:5]
    return Asked(url, key, int(count), float(seconds))


def numbers(what: Asked) -> Iterator[int]:
    """0, 1, 2 …, each when it is due; those that are late at once."""
    for part, _ in enumerate(sys.stdin):
        began = time.monotonic()
        for number in range(what.count):
            time.sleep(max(0.0, began + number * what.seconds / what.count - time.monotonic()))
            yield part * what.count + number


class Failures:
    """An SDK's failure callback."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, error: object, batch: list[object]) -> None:
        self.words.append(f"{len(batch)} events: {type(error).__name__}: {error}")


def drive(what: Asked, send: Callable[[int], object], flush: Callable[[], object], failures: Failures) -> None:
    """Send all, wait until the SDK has nothing left to do, and report."""
    sent = 0
    for number in numbers(what):
        send(number)
        sent += 1
    flush()
    sys.stdout.write(json.dumps({"sent": sent, "failures": failures.words}) + "\n")
