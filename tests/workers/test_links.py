"""Registered users: what a verified token links, what moves, and that no order of arrival makes a difference."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.event import Batch
from tests.make import DAY, HOUR, T0, canonical, uid
from tests.workers.people import arrive, owners, said, sent, split
from tests.workers.pipeline import ROBOT, Pipeline, meanwhile, pipeline, until_blocked
from workers import mover, unlinking, verify
from workers.copying import make_tables
from workers.resolve import Dictionaries, Staged
from workers.store import write

same = settings(max_examples=15, deadline=None, database=None, derandomize=True)


def counters(pipe: Pipeline) -> list[tuple[Any, ...]]:
    return sorted(row[0] for row in pipe.rows("SELECT total_events FROM users"))


def test_what_a_visitor_did_before_the_first_link_becomes_the_registered_users(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1, event_type="click")), sent(said(3, 2)), move=False)
    arrive(pipe, sent(said(4, 1, "ann")), move=False)
    assert owners(pipe) == split([1, 2], [3], [4])
    assert mover.run_once(pipe.connection) == 2
    assert owners(pipe) == split([1, 2, 4], [3])
    who = pipe.value("SELECT user_id FROM identities WHERE kind = 'auth'")
    assert pipe.rows("SELECT user_id, total_events, total_clicks FROM users ORDER BY 2 DESC")[0] == (who, 3, 1)
    assert pipe.value("SELECT user_id FROM sessions WHERE session_id = %s", uid(2, 1)) == who
    assert pipe.value("SELECT auth_user_id FROM events WHERE event_id = %s", uid(1, 4)) == "ann"
    assert counters(pipe) == [1, 3]
    assert pipe.problems() == []


def test_one_browser_of_two_people_stays_split_by_time(pipe: Pipeline) -> None:
    arrive(pipe, *(sent(said(n, 1)) for n in (1, 3, 5, 7)), sent(said(2, 1, "ann")), sent(said(4, 1, "bob")))
    assert owners(pipe) == split([1, 2, 3], [4, 5, 7])
    arrive(pipe, sent(said(6, 1, "ann")))
    assert owners(pipe) == split([1, 2, 3, 6, 7], [4, 5])
    assert pipe.problems() == []


def test_one_person_in_two_browsers_is_one_user(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)), sent(said(2, 2)), sent(said(3, 1, "ann")), sent(said(4, 2, "ann")))
    assert owners(pipe) == split([1, 2, 3, 4])
    assert pipe.problems() == []


def test_a_token_without_a_visitor_is_its_users(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, None, "ann")), sent(said(2, 1, "ann")), sent(said(3, None, "ann")))
    assert owners(pipe) == split([1, 2, 3])
    assert pipe.value("SELECT count(DISTINCT session_id) FROM events WHERE anonymous_id IS NULL") == 1
    assert pipe.problems() == []


def test_a_claim_links_nobody(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1, "ann")), sent(said(2, 2, claimed_user="ann")))
    assert owners(pipe) == split([1], [2])


def test_a_robot_links_nobody(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1, "ann", user_agent=ROBOT), email="ann@example.com"))
    assert owners(pipe) == split([1])
    assert pipe.rows("SELECT kind FROM identities") == [("anonymous",)]


def test_a_site_knows_nothing_of_another_sites_links(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1), site_id="other"), sent(said(3, 1, "ann"), site_id="other"))
    assert owners(pipe) == split([1])
    assert owners(pipe, "other") == split([2, 3])


def test_a_new_id_with_a_verified_email_that_was_seen_before_is_that_user(pipe: Pipeline) -> None:
    ann = {"email": "ann@example.com"}
    arrive(pipe, sent(said(1, 1, "ann"), **ann), sent(said(2, 2)), sent(said(3, 2, "ann2"), **ann))
    assert owners(pipe) == split([1, 2, 3])
    assert pipe.problems() == []


def test_an_id_that_was_known_before_is_not_joined_by_its_next_email(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1, "ann"), "ann@example.com"), sent(said(2, 2, "bob"), "bob@example.com"))
    arrive(pipe, sent(said(3, 2, "bob"), "ann@example.com"), sent(said(4, 3, "cat"), "ann@example.com"))
    assert owners(pipe) == split([1, 4], [2, 3])


def test_an_id_that_was_known_without_an_email_is_not_joined_by_its_first_one(pipe: Pipeline) -> None:
    for site_id, order in (("a", (1, 2, 5)), ("b", (5, 2, 1)), ("c", (2, 5, 1))):
        pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES (%s, '')", (site_id,))
        facts = {1: (said(1, 1, "eve"), None), 2: (said(2, 2, "ann"), "ann@x"), 5: (said(5, 1, "eve"), "ann@x")}
        arrive(pipe, *(sent(event, email, site_id=site_id) for event, email in map(facts.__getitem__, order)))
        assert owners(pipe, site_id) == split([1, 5], [2])


FACTS = [
    (0, 1, None, None), (2, 1, "ann", "ann@x"), (4, 1, None, None), (5, 1, "bob", "bob@x"), (6, 1, None, None),
    (8, 1, "ann", "ann@x"), (9, 1, None, None), (1, 2, None, None), (3, 2, "cat", "ann@x"), (7, 2, "cat", "bob@x"),
    (7, 1, None, None), (9, 2, "ann", None), (10, 2, None, None), (2, None, "bob", "bob@x"), (2, 1, "bob", None),
    (1, 3, "eve", None), (6, None, "eve", "ann@x"), (6, 3, None, None), (7, None, "fay", "eve@x"),
    (8, 4, "eve", "eve@x"),
]  # fmt: skip


def batches(site_id: str = "default") -> list[Batch]:
    return [sent(said(n, v, auth, at), email, site_id=site_id) for n, (at, v, auth, email) in enumerate(FACTS)]


EXPECTED = split([0, 1, 5, 6, 7, 8, 9, 11, 12], [2, 3, 4, 10, 13, 14], [15, 16, 17, 19], [18])
"""Eve was known before she had any email, so she is nobody else; nor is fay, who had hers before eve."""
_sites = itertools.count(1)


@given(
    st.permutations(range(len(FACTS))),
    st.lists(st.integers(0, 6), min_size=len(FACTS), max_size=len(FACTS)),
    st.booleans(),
)
@same
def any_order(order: list[int], then: list[int], replay: bool) -> None:
    pipe, site_id = HELD["pipe"], f"s{next(_sites)}"
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES (%s, '')", (site_id,))
    ready = batches(site_id)
    for place, step in zip(order, then, strict=True):
        pipe.accept(ready[place], lane=step % 2)
        if step == 0:
            pipe.drain(0)
        elif step == 1:
            pipe.drain(1)
        elif step == 2:
            mover.run_once(pipe.connection)
    for lane in (replay, not replay):
        pipe.drain(int(lane))
    mover.run_once(pipe.connection)
    assert owners(pipe, site_id) == EXPECTED
    assert pipe.value("SELECT sum(total_events) FROM users WHERE site_id = %s", site_id) == len(FACTS)
    assert pipe.rows("SELECT FROM dirty_identities") == []


HELD: dict[str, Pipeline] = {}
"""Hypothesis gives its examples one pipeline; each brings a site of its own."""


def test_no_order_of_arrival_and_no_moment_of_moving_makes_a_difference(pipe: Pipeline) -> None:
    HELD["pipe"] = pipe
    any_order()
    before = pipe.rows("SELECT * FROM users ORDER BY user_id"), pipe.rows("SELECT * FROM sessions ORDER BY 1, 2")
    assert pipe.problems() == []
    pipe.roll_up()
    verify.rebuild(pipe.settings, lambda *_: None)
    assert pipe.rows("SELECT * FROM users ORDER BY user_id") == before[0]
    assert pipe.rows("SELECT * FROM sessions ORDER BY 1, 2") == before[1]


def test_two_drains_and_a_mover_at_once_come_to_the_same(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"drain_events_max": 2})
    names = [f"site{n}" for n in range(4)]
    for n, site_id in enumerate(names):
        pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES (%s, '')", (site_id,))
        ready = batches(site_id)
        random.Random(n).shuffle(ready)
        for place, one in enumerate(ready):
            pipe.accept(one, lane=place % 2)
    done = threading.Event()

    def move() -> None:
        with pipeline(pipe.settings) as third:
            while not done.is_set():
                mover.run_once(third.connection)

    def drain() -> None:
        with pipeline(pipe.settings) as other:
            other.drain(1)

    with meanwhile(move):
        try:
            with meanwhile(drain):
                pipe.drain(0)
        finally:
            done.set()
    mover.run_once(pipe.connection)
    assert [owners(pipe, site_id) for site_id in names] == [EXPECTED] * 4
    assert pipe.problems() == []


def test_a_drain_that_read_older_links_is_waited_for(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)))
    late = sent(said(2, 1))
    staged = [Staged(late.events[0], late)]
    dictionaries = Dictionaries()
    with pipeline(pipe.settings) as other:
        make_tables(other.connection)
        dictionaries.learn(other.connection, staged)
        other.connection.execute("BEGIN")
        write(other.connection, staged, dictionaries, pipe.settings)
        arrive(pipe, sent(said(3, 1, "ann", session_id=uid(2, 9))), move=False)
        with meanwhile(lambda: mover.run_once(pipe.connection)) as finished:
            until_blocked(pipe.settings)
            other.connection.execute("COMMIT")
            finished()
    assert owners(pipe) == split([1, 2, 3])


def test_a_mover_that_dies_leaves_its_marks(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1, "ann")), move=False)
    with monkeypatch.context() as patched:
        patched.setitem(mover.__dict__, "_SQL", {**mover._SQL, "restate_sessions": "SELECT 1/0"})
        with pytest.raises(Exception, match="division by zero"):
            mover.run_once(pipe.connection)
    assert owners(pipe) == split([1], [2])
    mover.run_once(pipe.connection)
    assert owners(pipe) == split([1, 2])


def test_every_link_says_who_made_it_and_who_it_was_before(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)))
    before = pipe.value("SELECT user_id FROM events")
    one = sent(said(2, 1, "ann"), "ann@example.com")
    arrive(pipe, one)
    query = (
        "SELECT kind, value, auth, action, user_before, changed_by, event_id, batch_id FROM identity_changes ORDER BY 1"
    )
    assert pipe.rows(query) == [
        ("anonymous", str(uid(3, 1)), "ann", "linked", before, "token", uid(1, 2), one.batch_id),
        ("email", "ann@example.com", "ann", "linked", None, "token", uid(1, 2), one.batch_id),
    ]


def unlink(pipe: Pipeline, value: str, auth: str | None = None) -> int:
    return unlinking.unlink(pipe.connection, "default", value, auth, by="test")


def test_an_unlink_leaves_things_as_if_the_link_had_never_been(pipe: Pipeline) -> None:
    now = T0 + DAY
    arrive(pipe, *(sent(said(n, 1)) for n in (1, 3, 5)), sent(said(2, 1, "ann")), sent(said(4, 1, "bob")))
    assert owners(pipe) == split([1, 2, 3], [4, 5])
    assert unlink(pipe, str(uid(3, 1)), "ann") == 1
    assert owners(pipe) == split([1, 3, 4, 5], [2])
    assert unlink(pipe, str(uid(3, 1))) == 1
    assert owners(pipe) == split([1, 3, 5], [2], [4])
    assert pipe.problems() == []
    arrive(pipe, sent(said(6, 1, "ann"), received_at=now))  # of long before the unlink, and late
    assert owners(pipe) == split([1, 3, 5], [2, 6], [4])


def test_what_is_sent_after_an_unlink_links_again(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1, "ann")))
    assert unlink(pipe, str(uid(3, 1))) == 1
    later = pipe.value("SELECT (extract(epoch FROM now()) * 1000000)::bigint") + HOUR
    arrive(pipe, sent(said(3, 1, "ann", at=2), received_at=later))
    assert owners(pipe) == split([1, 2, 3])
    assert pipe.rows("SELECT action FROM identity_changes ORDER BY change_id") == [
        ("linked",),
        ("unlinked",),
        ("linked",),
    ]


def test_an_unlinked_email_parts_those_whom_it_joined(pipe: Pipeline) -> None:
    arrive(pipe, sent(said(1, 1, "ann"), "ann@x"), sent(said(2, 2)), sent(said(3, 2, "eve"), "ann@x"))
    assert owners(pipe) == split([1, 2, 3])
    assert unlink(pipe, "ann@x", "eve") == 1
    assert owners(pipe) == split([1], [2, 3])
    assert pipe.rows("SELECT action FROM identity_changes WHERE kind = 'auth' ORDER BY 1") == [
        ("joined",),
        ("unlinked",),
    ]
    assert pipe.problems() == []


def test_to_unlink_what_is_not_linked_changes_nothing(pipe: Pipeline) -> None:
    arrive(pipe, sent(canonical(1)))
    assert unlink(pipe, str(uid(3))) == unlink(pipe, "nobody@example.com") == 0
    assert pipe.rows("SELECT FROM identity_changes") == []
