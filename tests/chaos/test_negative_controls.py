"""The checker itself: drains with a mistake, under the same kills, must be caught, and for the right reason.

A checker that never fails proves nothing. Each mistake is one that a consumer of a queue is a line away from.
"""

from __future__ import annotations

import sys

import pytest

from tests.chaos import points
from tests.chaos.checker import Verdict
from tests.chaos.conftest import Start
from tests.chaos.processes import wait_for_death
from tests.chaos.queue import Queue

ROUNDS = (points.COPYING, points.WRITTEN, points.COMMITTED, points.COUNTING)


def under_kills(queue: Queue, start: Start, mistake: str) -> Verdict:
    for point in ROUNDS:
        queue.fill(10)
        drain = start(queue.drain(mistake=mistake))
        drain.arm(point)
        wait_for_death(drain, f"the drain reaches {point}")
    queue.fill(10)
    last = start(queue.drain(mistake=mistake))
    last.arm(points.SLIDING)
    wait_for_death(last, "the drain finishes")
    return queue.verdict()


def test_no_mistake_is_reported_of_a_drain_that_makes_none(queue: Queue, start: Start) -> None:
    assert not under_kills(queue, start, mistake="").faults()


def test_acknowledging_before_the_commit_is_caught_as_loss(
    queue: Queue, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = under_kills(queue, start, points.ACK_FIRST)
    _tell(capsys, points.ACK_FIRST, verdict)
    assert verdict.lost
    assert not verdict.doubled
    assert any("accepted events are nowhere" in problem for problem in verdict.problems)


def test_draining_without_receipts_and_ledger_is_caught_as_doubling(
    queue: Queue, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = under_kills(queue, start, points.NO_LEDGER)
    _tell(capsys, points.NO_LEDGER, verdict)
    assert verdict.doubled
    assert verdict.miscounted
    assert not verdict.lost


def test_deduplicating_rows_but_not_counters_is_caught_as_miscounting(
    queue: Queue, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = under_kills(queue, start, points.ROWS_ONLY)
    _tell(capsys, points.ROWS_ONLY, verdict)
    assert verdict.miscounted
    assert not verdict.lost
    assert not verdict.doubled


def _tell(capsys: pytest.CaptureFixture[str], mistake: str, verdict: Verdict) -> None:
    with capsys.disabled():
        sys.stdout.write(
            f"\nnegative control, {mistake}: of {verdict.acked} events {len(verdict.lost)} lost, "
            f"{len(verdict.doubled)} doubled, {len(verdict.miscounted)} counters wrong\n"
        )
