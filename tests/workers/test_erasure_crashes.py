"""kill -9 of an erasure between its steps and within them: the next one goes on, and does none of it twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any
from uuid import UUID

from schema import live, persistence, realtime
from schema.settings import Settings
from tests.conftest import Servers
from tests.workers.pipeline import Pipeline
from tests.workers.test_erasure import EMAIL, VISITOR, erase, figures, hers, in_postgres, in_redis, plant, planted
from workers import erasing, erasure, people, rollup, sweeping
from workers.people import named

# Each with the next: what one leaves done, the next finds.
POINTS = (
    (people, "find", True),
    (erasing, "erase", True),
    (erasing, "entomb", True),
    (erasure, "_erase", True),
    (erasure, "_still_queued", True),
    (erasing, "forget_unread", True),
    (sweeping, "_rewrite", True),
    (sweeping, "sweep", True),
    (rollup, "run_once", False),
    (live, "forget", True),
    (realtime, "forget", True),
    (persistence, "rewrite", True),
    (erasure, "_take_samples", True),
    (erasure, "_added", True),
)
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload([__name__])  # a child costs milliseconds then


def die(settings: Settings, erasure_id: UUID, point: int) -> None:
    """Go on until that point, then die by kill -9."""
    owner, name, after = POINTS[point]
    inner: Callable[..., Any] = getattr(owner, name)

    def last(*arguments: Any) -> None:
        if after:
            inner(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, last)
    erasure.advance(settings, erasure_id)


def test_an_erasure_killed_at_any_point_is_finished_by_the_next(pipe: Pipeline, servers: Servers) -> None:
    plant(pipe)
    pipe.accept(hers(planted(30), n=30, verified=True), lane=1)
    before = figures(pipe)
    erasure_id = people.request(pipe.connection, "default", named(email=EMAIL), by="a test")
    for point in range(len(POINTS)):
        killed = _FORK.Process(target=die, args=(pipe.settings, erasure_id, point))
        killed.start()
        killed.join(60)
        assert killed.exitcode == -signal.SIGKILL, POINTS[point][1]
        assert figures(pipe) == before, POINTS[point][1]
        assert pipe.problems() == [], POINTS[point][1]
    receipt = erasure.advance(pipe.settings, erasure_id)
    assert (receipt["state"], receipt["remaining"], receipt["counts"]["events"]) == ("done", {}, 10)
    assert list(in_postgres(pipe)) == []
    assert list(in_redis(pipe, servers)) == []
    assert figures(pipe) == before
    assert pipe.problems() == []
    assert erase(pipe, anonymous_id=str(VISITOR))["counts"] == {}  # nothing of her is left to be found
