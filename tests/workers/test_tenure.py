"""What an event is told about its user: the role of a verified token, and how many days the user was known."""

from __future__ import annotations

import pytest

from schema.event import Verified
from tests.make import DAY, T0, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline, visit


def days(pipe: Pipeline) -> list[int | None]:
    return [found for (found,) in pipe.rows("SELECT user_tenure_days FROM events ORDER BY event_id")]


def test_a_role_comes_from_a_verified_token_only(pipe: Pipeline) -> None:
    pipe.send(canonical(1), verified=Verified("u1", role="admin"))
    pipe.send(canonical(2), verified=Verified("u1"))
    pipe.send(canonical(3, metadata='{"role": "admin"}', auth_user_id="u1"))
    assert pipe.rows("SELECT user_role FROM readable_events ORDER BY event_id") == [("admin",), (None,), (None,)]


@pytest.mark.parametrize(("after", "expected"), [(0, 0), (1, 0), (DAY - 1, 0), (DAY, 1), (400 * DAY - 1, 399)])
@pytest.mark.parametrize("together", [True, False])
def test_days_are_whole_ones_since_the_user_was_first_seen(
    pipe: Pipeline, after: int, expected: int, together: bool
) -> None:
    first, later = visit(1, 1, occurred_at=T0), visit(2, 1, occurred_at=T0 + after, session_id=uid(2, 99))
    for events in [(later, first)] if together else [(first,), (later,)]:
        pipe.send(*events)
    assert days(pipe) == [0, expected]


def test_an_earlier_event_that_comes_later_rewrites_nothing(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1, occurred_at=T0))
    pipe.send(visit(2, 1, occurred_at=T0 - 5 * DAY))
    pipe.send(visit(3, 1, occurred_at=T0))
    assert days(pipe) == [0, 0, 5]
    assert pipe.problems() == []


def test_each_user_has_its_own_days_and_bots_have_none(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1, occurred_at=T0 - 3 * DAY), visit(2, 2, occurred_at=T0 - 2 * DAY))
    bot = visit(6, 1, user_agent=ROBOT)
    pipe.send(visit(3, 1), visit(4, 2), visit(5, 3), bot, canonical(7, anonymous_id=None))
    assert days(pipe) == [0, 0, 3, 2, 0, None, 0]
