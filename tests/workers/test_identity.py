"""Users: one per visitor, however many lanes meet the visitor first; at time t, whom the links say at time t."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.make import DAY, T0, batch, canonical, uid
from tests.workers.pipeline import Pipeline, meanwhile, pipeline, until_blocked, visit
from workers.identities import link_visitors
from workers.resolve import Staged, moment


def user_of(pipe: Pipeline, n: int) -> int | None:
    return pipe.value("SELECT user_id FROM events WHERE event_id = %s", uid(1, n))


def link(pipe: Pipeline, value: str, user_id: int, at: int, kind: str = "anonymous") -> None:
    pipe.connection.execute(
        "INSERT INTO identities (site_id, kind, value, valid_from, user_id) VALUES ('default', %s, %s, %s, %s)",
        (kind, value, moment(at), user_id),
    )


def test_a_visitor_is_one_user_over_batches_and_sessions(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1), visit(2, 2))
    pipe.send(visit(3, 1, session_id=uid(2, 9)), lane=1)
    assert user_of(pipe, 1) == user_of(pipe, 3) != user_of(pipe, 2)
    assert pipe.rows("SELECT kind, value, valid_from::text, linked_by FROM identities ORDER BY value") == [
        ("anonymous", str(uid(3, 1)), "-infinity", "first_seen"),
        ("anonymous", str(uid(3, 2)), "-infinity", "first_seen"),
    ]
    assert pipe.value("SELECT count(*) FROM users") == 2


def test_the_anonymous_id_stands_for_the_visitor_else_the_claim_else_the_batch(pipe: Pipeline) -> None:
    bare: dict[str, UUID | None] = {"anonymous_id": None}
    sent = pipe.send(
        canonical(1, claimed_user="ann"),
        canonical(2, claimed_user="ann", **bare),
        canonical(3, **bare),
        canonical(4, **bare),
    )
    found = dict(pipe.rows("SELECT kind || ' ' || value, user_id FROM identities"))
    anonymous, claimed, unnamed = f"anonymous {uid(3)}", "claimed ann", f"batch {sent}"
    assert found.keys() == {anonymous, claimed, unnamed}
    users = [found[anonymous], found[claimed], found[unnamed], found[unnamed]]
    assert [user_of(pipe, n) for n in (1, 2, 3, 4)] == users
    assert len(set(users)) == 3


def test_a_claim_never_joins_two_visitors(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1, claimed_user="ann"), visit(2, 2, claimed_user="ann"))
    assert user_of(pipe, 1) != user_of(pipe, 2)


def test_the_same_visitor_of_two_sites_is_two_users(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(visit(1, 1))
    pipe.send(visit(2, 1), site_id="other")
    assert user_of(pipe, 1) != user_of(pipe, 2)


def test_the_user_is_the_latest_link_at_or_before_the_event_else_the_earliest(pipe: Pipeline) -> None:
    visitor = str(uid(3))
    for user_id, at in ((71, T0), (72, T0 + DAY), (73, T0 + 2 * DAY)):
        link(pipe, visitor, user_id, at)
    times = {-DAY: 71, -1: 71, 0: 71, DAY - 1: 71, DAY: 72, DAY + 1: 72, 2 * DAY: 73, 9 * DAY: 73}
    pipe.send(*(canonical(n, occurred_at=T0 + at) for n, at in enumerate(times)))
    assert [user_of(pipe, n) for n in range(len(times))] == list(times.values())
    assert pipe.value("SELECT count(*) FROM identities") == 3  # a visitor who is linked gets no further user
    assert pipe.rows("SELECT user_id, total_events FROM users ORDER BY 1") == [(71, 4), (72, 2), (73, 2)]


def test_two_kinds_of_one_value_are_two_visitors(pipe: Pipeline) -> None:
    link(pipe, str(uid(3)), 71, T0, kind="claimed")
    pipe.send(canonical(1), canonical(2, anonymous_id=None, claimed_user=str(uid(3))))
    assert user_of(pipe, 1) != 71
    assert user_of(pipe, 2) == 71


def test_a_session_has_the_user_of_its_earliest_event(pipe: Pipeline) -> None:
    link(pipe, str(uid(3)), 71, T0)
    link(pipe, str(uid(3)), 72, T0 + 1)
    pipe.send(canonical(1, occurred_at=T0 + 1), canonical(2, occurred_at=T0))
    assert pipe.row("SELECT user_id, event_count FROM sessions") == (71, 2)


@pytest.mark.parametrize("first_commits", [True, False])
def test_two_lanes_that_meet_a_visitor_at_once_give_one_user(pipe: Pipeline, first_commits: bool) -> None:
    first = Staged(visit(1, 1), batch(visit(1, 1)))
    with pipeline(pipe.settings) as other:
        other.connection.execute("BEGIN")
        users = link_visitors(other.connection, [first], set())
        with meanwhile(lambda: pipe.send(visit(2, 1), visit(3, 1))) as finished:
            until_blocked(pipe.settings)
            other.connection.execute("COMMIT" if first_commits else "ROLLBACK")
            finished()
    assert user_of(pipe, 2) == user_of(pipe, 3) is not None
    assert (user_of(pipe, 2) == users[0]) is first_commits
    assert pipe.value("SELECT count(*) FROM identities") == 1
