"""One browser: posts batches, and resends what was not answered, with the same ids. In: a port and a seed. Out: a
history of what it sent and what it was told.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.chaos.history import FAIL, OK, UNKNOWN, History
from tests.chaos.traffic import Traffic, Wire

PATIENCE_SECONDS = 5.0
_PACE_SECONDS = 0.008


class Sender:
    """Keeps its connection for as long as it is answered."""

    def __init__(self, history: History, port: int, seed: int) -> None:
        self._history = history
        self._port = port
        self._chance = Random(seed)
        self._traffic = Traffic(Random(seed + 1))
        self._line: http.client.HTTPConnection | None = None

    def run(self, stop: threading.Event) -> None:
        """Keep sending. Who is owed an answer asks again, most of the time."""
        again: list[list[Wire]] = []
        while not stop.wait(_PACE_SECONDS):
            events = again.pop() if again and self._chance.random() < 0.5 else self._traffic.batch()
            outcome = self.post(events)
            if outcome == OK and self._chance.random() < 0.1:  # a resend nobody needed, with new events in it
                again.append(events[: self._chance.randint(1, len(events))] + self._traffic.batch(2))
            elif outcome == UNKNOWN and self._chance.random() < 0.7:
                again.append(events)
            if outcome != OK:
                stop.wait(0.05)
        self.hang_up()

    def post(self, events: Sequence[Wire]) -> str:
        """Send one batch; returns the outcome."""
        self._history.invoke(events)
        began = time.monotonic()
        try:
            outcome = _outcome(*self._exchange(events), len(events))
        except ConnectionRefusedError:
            outcome = FAIL
        except (OSError, http.client.HTTPException):
            outcome = UNKNOWN
        if outcome != OK:
            self.hang_up()
        self._history.complete(events, outcome, time.monotonic() - began)
        return outcome

    def hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _exchange(self, events: Sequence[Wire]) -> tuple[int, str, Any]:
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        body = json.dumps({"events": list(events)})
        self._line.request("POST", "/api/events/batch", body, {"content-type": "application/json"})
        response = self._line.getresponse()
        return response.status, response.getheader("retry-after", ""), json.loads(response.read())


def _outcome(status: int, retry_after: str, answer: Any, events: int) -> str:
    """202 is a promise; 503 says "perhaps", except before anything was sent to Redis, when it says so."""
    if status == 202:
        assert answer["accepted"] == events, answer
        assert answer["durability"] in ("fsync", "unknown"), answer  # not known until Valkey, started again, was asked
        return OK
    assert (status, answer["code"]) == (503, "busy"), (status, answer)
    assert retry_after.isdigit(), "a 503 says when to come back"
    return FAIL if "is full" in answer["message"] else UNKNOWN
