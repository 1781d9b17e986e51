"""kill -9 of retention between its steps and within them, and drains that go on while it works."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from schema import db
from schema.settings import Settings
from tests.make import DAY, T0, asked, canonical
from tests.workers.pipeline import Pipeline, meanwhile, until_blocked, visit
from tests.workers.retaining import YEAR_LATER, busy, figures, months, retain
from workers import folding, retention
from workers import months as partitions

# Each with the next: what one leaves done, the next finds.
POINTS = (
    (retention, "_raise_floors", False),
    (retention, "_raise_floors", True),
    (retention, "_close", True),
    (folding, "_refuse_open", True),
    (folding, "_fold", True),
    (folding, "_truncate", True),
    (folding, "empty", True),
    (partitions, "_drop_empty", False),
    (partitions, "drop", True),
    (folding, "delete", True),
)
_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload([__name__])  # a child costs milliseconds then


def die(settings: Settings, at: datetime, point: int) -> None:
    """Run until that point, then die by kill -9."""
    owner, name, after = POINTS[point]
    inner: Callable[..., Any] = getattr(owner, name)

    def last(*arguments: Any) -> None:
        if after:
            inner(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, last)
    retention.run(settings, at)


def test_a_run_killed_at_any_point_harms_nothing_and_the_next_goes_on(pipe: Pipeline) -> None:
    busy(pipe)
    pipe.ask(asked(1), asked(2, requested_at=T0 + 40 * DAY))
    pipe.connection.execute("UPDATE sites SET raw_days = 340 WHERE site_id = 'shop'")
    pipe.roll_up()
    before = figures(pipe)
    told, _ = retention.look(pipe.settings, YEAR_LATER)
    for point in range(len(POINTS)):
        killed = _FORK.Process(target=die, args=(pipe.settings, YEAR_LATER, point))
        killed.start()
        killed.join(60)
        assert killed.exitcode == -signal.SIGKILL, POINTS[point][1]
        assert figures(pipe) == before
        if point % 3 == 1:
            assert pipe.problems() == []
    retain(pipe)
    assert figures(pipe) == before
    assert retention.look(pipe.settings, YEAR_LATER)[0] == []
    gone = sum(one.rows for one in told if one.table.startswith("events"))
    assert pipe.value("SELECT sum(events) FROM base_events") == gone
    assert pipe.problems() == []


def test_a_month_that_waits_to_be_detached_makes_no_drain_wait(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.send(canonical(1), canonical(2, event_type="booking_complete"))
    pipe.roll_up()
    drop = partitions.drop
    with db.connect(pipe.settings) as reader:

        def read_first(*arguments: Any) -> bool:
            reader.execute("BEGIN")
            reader.execute(
                "SELECT count(*) FROM events"
            )  # a plain DETACH would wait for this, and all would wait for it
            return drop(*arguments)

        monkeypatch.setattr(partitions, "drop", read_first)
        with meanwhile(lambda: retain(pipe)) as finished:
            until_blocked(pipe.settings)
            for n in range(10, 30):
                pipe.send(visit(n, n, occurred_at=T0 + 60 * DAY), received_at=T0 + 61 * DAY)
                pipe.roll_up()
            assert pipe.value("SELECT count(*) FROM events") == 21
            until_blocked(pipe.settings)  # still
            reader.execute("COMMIT")
            finished()
    assert "events_interaction_2026_01" not in months(pipe)
    assert pipe.problems() == []


def test_a_month_that_somebody_reads_is_emptied_when_he_is_done(pipe: Pipeline) -> None:
    pipe.send(canonical(1))
    pipe.roll_up()
    with db.connect(pipe.settings) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events")
        with meanwhile(lambda: retain(pipe)) as finished:
            until_blocked(pipe.settings)
            pipe.send(visit(2, 2, occurred_at=T0 + 60 * DAY), received_at=T0 + 61 * DAY)
            assert pipe.value("SELECT count(*) FROM events") == 2
            reader.execute("COMMIT")
            finished()
    assert pipe.value("SELECT count(*) FROM events") == 1
    assert pipe.problems() == []
