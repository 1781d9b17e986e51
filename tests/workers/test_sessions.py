"""Sessions: a client's id is kept; an event without one joins the nearest session of its visitor, or opens one."""

from __future__ import annotations

import itertools
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as checking
from hypothesis import strategies as st

from schema.event import Event, derived_id
from tests.make import HOUR, MICROSECOND, MINUTE, T0, batch, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline
from workers import store

LIMIT = 30 * MINUTE
_visitors = itertools.count(1)


def lacking(n: int, minute: float, **fields: object) -> Event:
    """The n-th event, so many minutes after T0, without a session."""
    return canonical(n, **{"session_id": None, "occurred_at": T0 + round(minute * MINUTE)} | fields)


def session_of(pipe: Pipeline, n: int) -> UUID:
    return pipe.value("SELECT session_id FROM events WHERE event_id = %s", uid(1, n))


def opened_by(n: int) -> UUID:
    """The id of the session that the n-th event opens."""
    return derived_id("default", "session", uid(1, n).bytes)


def test_a_clients_session_is_kept_after_thirty_minutes(pipe: Pipeline) -> None:
    for n in range(3):
        pipe.send(canonical(n, occurred_at=T0 + n * HOUR))
    assert pipe.row("SELECT session_id, event_count FROM sessions") == (uid(2), 3)


def test_an_event_within_thirty_minutes_joins_and_one_after_opens(pipe: Pipeline) -> None:
    for n, minute in enumerate((0, 30, 60.0001, 25)):
        pipe.send(lacking(n, minute))
    assert [session_of(pipe, n) for n in range(4)] == [opened_by(0), opened_by(0), opened_by(2), opened_by(0)]


def test_the_same_holds_within_one_batch_whatever_its_order(pipe: Pipeline) -> None:
    pipe.send(*(lacking(n, minute) for n, minute in enumerate((61, 30, 0, 200))))
    assert [session_of(pipe, n) for n in range(4)] == [opened_by(0), opened_by(2), opened_by(2), opened_by(3)]


def test_a_late_event_joins_the_nearer_of_two_sessions_and_merges_none(pipe: Pipeline) -> None:
    for n, minute in enumerate((0, 50, 20, 26)):
        pipe.send(lacking(n, minute))
    assert session_of(pipe, 0) != session_of(pipe, 1)
    assert session_of(pipe, 2) == session_of(pipe, 3) == session_of(pipe, 0)  # 20 is nearer to 0, then 26 to 20
    assert pipe.value("SELECT count(*) FROM sessions") == 2


def test_a_clients_own_session_is_joined_too_in_the_same_batch_or_later(pipe: Pipeline) -> None:
    pipe.send(lacking(1, 5), canonical(2), lacking(3, 40))
    pipe.send(lacking(4, 10))
    assert [session_of(pipe, n) for n in (1, 3, 4)] == [uid(2), opened_by(3), uid(2)]


def test_visitors_and_sites_share_no_session(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(lacking(1, 0), lacking(2, 1, anonymous_id=uid(3, 9)))
    pipe.send(lacking(3, 2), site_id="other")
    assert pipe.value("SELECT count(DISTINCT (site_id, session_id)) FROM events") == 3
    assert pipe.value("SELECT count(*) FROM sessions") == 3


def test_the_timeout_is_a_setting(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"session_timeout_seconds": 60})
    for n, minute in enumerate((0, 1, 2.1)):
        pipe.send(lacking(n, minute))
    assert [session_of(pipe, n) for n in range(3)] == [opened_by(0), opened_by(0), opened_by(2)]


@pytest.mark.parametrize("visitor", [{"claimed_user": "ann"}, {}])
def test_an_event_without_anonymous_id_has_a_session_too(pipe: Pipeline, visitor: dict[str, str]) -> None:
    pipe.send(*(lacking(n, n, anonymous_id=None, **visitor) for n in range(2)))
    assert session_of(pipe, 0) == session_of(pipe, 1) == opened_by(0)


def test_a_claimed_user_keeps_the_session_from_batch_to_batch(pipe: Pipeline) -> None:
    for n in range(2):
        pipe.send(lacking(n, n, anonymous_id=None, claimed_user="ann"))
    assert session_of(pipe, 1) == opened_by(0)


def test_a_bot_has_a_session_id_and_no_session(pipe: Pipeline) -> None:
    pipe.send(lacking(1, 0, user_agent=ROBOT))
    assert session_of(pipe, 1) == opened_by(1)
    assert pipe.rows("SELECT * FROM sessions") == []


def test_a_chunk_drained_again_after_a_crash_opens_the_same_sessions(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.accept(batch(lacking(1, 0), lacking(2, 1), lacking(3, 90)))
    with monkeypatch.context() as crash:
        crash.setattr(store, "_settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipe.drain()
    assert pipe.value("SELECT count(*) FROM events") == 0
    assert pipe.drain() == 3
    assert [session_of(pipe, n) for n in (1, 2, 3)] == [opened_by(1), opened_by(1), opened_by(3)]


class Oracle:
    """One visitor's sessions, believed of the drain one event at a time: each choice must be one of the right ones."""

    def __init__(self) -> None:
        self.spans: dict[UUID, tuple[int, int]] = {}

    def widen(self, session_id: UUID, at: int) -> None:
        low, high = self.spans.get(session_id, (at, at))
        self.spans[session_id] = (min(low, at), max(high, at))

    def check(self, event: Event, chosen: UUID) -> None:
        at = event.occurred_at
        away = {session: max(low - at, at - high, 0) for session, (low, high) in self.spans.items()}
        nearest = min(away.values(), default=LIMIT + 1)
        if nearest <= LIMIT:
            assert chosen in [session for session, distance in away.items() if distance == nearest]
        else:
            assert chosen == derived_id("default", "session", event.event_id.bytes)
        self.widen(chosen, at)


CHUNKS = st.lists(st.lists(st.tuples(st.integers(0, 240), st.integers(0, 5)), min_size=1, max_size=5), max_size=6)


@given(CHUNKS)
@example([[(62, 0)], [(0, 0), (31, 2)]])  # a late event of the client's stretches a session over its neighbour
@checking(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_traffic_of_one_visitor_is_attributed_as_the_rules_say(
    pipe: Pipeline, chunks: list[list[tuple[int, int]]]
) -> None:
    visitor = next(_visitors)
    oracle = Oracle()
    numbers = itertools.count(visitor * 1000)
    for chunk in chunks:
        events = [
            lacking(next(numbers), minute, anonymous_id=uid(3, visitor))
            if own > 1
            else lacking(next(numbers), minute, anonymous_id=uid(3, visitor), session_id=uid(2, 2 * visitor + own))
            for minute, own in chunk
        ]
        sent = pipe.send(*events)
        chosen = dict(pipe.rows("SELECT event_id, session_id FROM events WHERE batch_id = %s", sent))
        for event in events:
            if event.session_id is not None:
                assert chosen[event.event_id] == event.session_id
                oracle.widen(event.session_id, event.occurred_at)
        for event in sorted(events, key=lambda e: (e.occurred_at, e.event_id)):
            if event.session_id is None:
                oracle.check(event, chosen[event.event_id])
    micro = [f"(extract(epoch FROM {name}) * {MICROSECOND})::bigint" for name in ("started_at", "last_seen_at")]
    found = pipe.rows(f"SELECT session_id, {', '.join(micro)} FROM sessions WHERE anonymous_id = %s", uid(3, visitor))
    assert {session: tuple(span) for session, *span in found} == oracle.spans
