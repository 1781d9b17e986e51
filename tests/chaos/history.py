"""What was sent and what was answered, à la Jepsen: ok, fail or unknown. In: every attempt. Out: what must be true now.

An id with an ok is promised: it must be stored once, or be a dead letter. One with only unknown outcomes may be
stored once or not at all. One that only failed may not be there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from tests.chaos.traffic import Wire

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"


class History:
    """Every attempt of every sender; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent: dict[UUID, Wire] = {}
        self.outcomes: dict[UUID, set[str]] = {}
        self.poison: set[UUID] = set()
        self.unreadable: set[UUID] = set()  # batch ids
        self.attempts: Counter[str] = Counter()
        self.answer_seconds_max = 0.0

    def invoke(self, events: Sequence[Wire]) -> None:
        """Before the bytes leave: whatever happens from here on, the events may be stored."""
        with self._lock:
            for wire in events:
                event_id = UUID(wire["event_id"])
                self.sent.setdefault(event_id, wire)
                self.outcomes.setdefault(event_id, set())

    def complete(self, events: Sequence[Wire], outcome: str, seconds: float = 0.0) -> None:
        """After the answer, or when there will be none."""
        with self._lock:
            self.attempts[outcome] += 1
            self.answer_seconds_max = max(self.answer_seconds_max, seconds)
            for wire in events:
                self.outcomes[UUID(wire["event_id"])].add(outcome)

    def queued(self, good: Sequence[Wire], bad: Iterable[UUID] = (), unreadable: Iterable[UUID] = ()) -> None:
        """What was put into the queue past accept: promised, and the bad ones must become dead letters."""
        self.invoke(good)
        self.complete(good, OK)
        with self._lock:
            self.poison.update(bad)
            self.unreadable.update(unreadable)

    def ids(self, *outcomes: str) -> set[UUID]:
        """Ids that had at least one of these outcomes."""
        with self._lock:
            return {event_id for event_id, seen in self.outcomes.items() if seen & set(outcomes)}
