"""Dead letters: shown, patched, replayed; twice, racing, when the event was stored meanwhile. It always adds up."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from reports import verdicts
from schema import db
from schema.errors import InvalidEvent, NotFound
from schema.event import Quarantined, as_json
from schema.settings import Settings
from tests.make import DAY, T0, asked, batch, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline, meanwhile, until_blocked, visit
from tripstream import site_commands
from workers import deadletters
from workers.deadletters import Replay
from workers.drain import LOCK_SPACE
from workers.verify import REPLAYS

BAD = canonical(2, event_type="click_trip", trip_id=0, metadata='{"a": 1}')


@pytest.fixture
def letter(pipe: Pipeline) -> int:
    """The dead letter of BAD, which came between two good events."""
    pipe.send(canonical(1), BAD, canonical(3), ip_prefix="203.0.113.0/24", country="IL", user_agent="curl/8")
    return pipe.value("SELECT dead_letter_id FROM dead_letters")


@pytest.fixture
def unreadable(pipe: Pipeline) -> int:
    """The dead letter of an entry of three events that could not be read."""
    pipe.redis.xadd("ev:0", {"v": b"1", "s": "default", "b": uid(4, 77).bytes, "n": 3, "d": b"\xc1"})
    pipe.redis.hincrby("accepted:default", "events", 3)
    pipe.drain()
    return pipe.value("SELECT dead_letter_id FROM dead_letters WHERE event_id IS NULL")


def replay(pipe: Pipeline, *ids: int) -> list[tuple[str, str]]:
    return [(one.verdict, one.reason) for one in deadletters.replay(pipe.connection, ids, pipe.settings)]


def totals(pipe: Pipeline) -> tuple[int, ...]:
    return pipe.row("SELECT sum(stored)::int, sum(duplicate)::int, sum(dead)::int FROM drained")


def receipt(pipe: Pipeline) -> tuple[int, ...]:
    return pipe.row("SELECT accepted, stored, duplicate, dead FROM batches WHERE batch_id = %s", uid(4, 1000))


def test_a_letter_is_listed_and_shown_as_the_event_it_was(pipe: Pipeline, letter: int) -> None:
    (listed,) = deadletters.listed(pipe.connection, None, None, 10)
    expected = {"dead_letter_id": letter, "site_id": "default", "event_id": uid(1, 2), "events": 1, "sqlstate": "22003"}
    assert expected.items() <= listed.items()
    assert "trip_id" in listed["reason"]
    shown = deadletters.show(pipe.connection, letter)
    assert shown["raw"] == as_json(BAD)
    assert shown["event"]["metadata"] == '{"a": 1}'
    assert shown["state"] == "dead"


def test_the_list_is_filtered_newest_first_and_bounded(pipe: Pipeline, letter: int) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(*(canonical(n, trip_id=0) for n in (10, 11)), site_id="other")
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    replay(pipe, letter)

    def listed(site: str | None, state: str | None, limit: int = 10) -> list[int]:
        return [row["event_id"].int & 0xFF for row in deadletters.listed(pipe.connection, site, state, limit)]

    assert listed(None, None) == [11, 10, 2]
    assert listed(None, None, 2) == [11, 10]
    assert listed("default", None) == listed(None, "replayed") == [2]
    assert listed("other", "dead") == [11, 10]
    assert listed("default", "dead") == []


def test_an_unknown_letter_is_not_found(pipe: Pipeline) -> None:
    for attempt in (
        lambda: deadletters.show(pipe.connection, 404),
        lambda: deadletters.patch(pipe.connection, 404, {"trip_id": 1}),
        lambda: deadletters.replay(pipe.connection, [404], pipe.settings),
    ):
        with pytest.raises(NotFound, match="no dead letter 404"):
            attempt()


def test_a_patched_letter_is_stored_and_counted_once(pipe: Pipeline, letter: int) -> None:
    assert pipe.problems() == []
    deadletters.patch(pipe.connection, letter, {"trip_id": 7, "metadata": None})
    assert replay(pipe, letter) == [("replayed", "")]
    stored = pipe.row(
        "SELECT trip_id, metadata, ip_prefix::text, country, batch_id FROM events WHERE trip_id IS NOT NULL"
    )
    assert stored == (7, None, "203.0.113.0/24", "IL", uid(4, 1000))
    assert pipe.row("SELECT event_count, click_count, user_agent FROM readable_sessions") == (3, 1, "curl/8")
    assert pipe.row("SELECT click_count FROM trip_interactions") == (1,)
    assert receipt(pipe) == (3, 3, 0, 0)
    assert totals(pipe) == (3, 0, 0)
    assert pipe.row("SELECT lane, stored, duplicate, dead FROM drained WHERE lane < 0") == (REPLAYS, 1, 0, -1)
    assert pipe.problems() == []


def test_a_second_replay_changes_nothing(pipe: Pipeline, letter: int) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    assert replay(pipe, letter, letter) == [("replayed", ""), ("already resolved", "replayed")]
    assert replay(pipe, letter) == [("already resolved", "replayed")]
    assert pipe.value("SELECT count(*) FROM events") == 3
    assert totals(pipe) == (3, 0, 0)
    assert pipe.problems() == []


def test_of_two_replays_at_once_one_stores_and_one_finds_it_done(pipe: Pipeline, letter: int) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    found: list[Replay] = []

    def replays() -> None:
        with db.connect(pipe.settings) as connection:
            found.extend(deadletters.replay(connection, [letter], pipe.settings))

    pipe.connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_SPACE, REPLAYS))
    with meanwhile(replays) as first, meanwhile(replays) as second:
        until_blocked(pipe.settings, sessions=2)
        pipe.connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_SPACE, REPLAYS))
        first()
        second()
    assert sorted(one.verdict for one in found) == ["already resolved", "replayed"]
    assert pipe.problems() == []


def test_a_letter_that_is_still_bad_stays_dead_and_says_why(pipe: Pipeline, letter: int) -> None:
    ((verdict, reason),) = replay(pipe, letter)
    assert verdict == "dead"
    assert "trip_id" in reason
    deadletters.patch(pipe.connection, letter, {"trip_id": 7, "occurred_at": 2**62})
    assert replay(pipe, letter)[0][0] == "dead"
    assert deadletters.show(pipe.connection, letter)["state"] == "dead"
    assert totals(pipe) == (2, 0, 1)
    assert pipe.problems() == []


def test_one_bad_letter_keeps_no_other_from_being_replayed(pipe: Pipeline, letter: int) -> None:
    pipe.send(canonical(10, trip_id=0), canonical(11, trip_id=0))
    ids = deadletters.open_ids(pipe.connection)
    deadletters.patch(pipe.connection, ids[0], {"trip_id": 7})
    deadletters.patch(pipe.connection, ids[2], {"trip_id": 7})
    assert [verdict for verdict, _ in replay(pipe, *ids)] == ["replayed", "dead", "replayed"]
    assert deadletters.open_ids(pipe.connection) == [ids[1]]
    assert deadletters.open_ids(pipe.connection, "other") == []
    assert pipe.problems() == []


def test_a_letter_whose_event_was_stored_meanwhile_is_a_duplicate(pipe: Pipeline, letter: int) -> None:
    pipe.send(canonical(2, trip_id=9))
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    assert replay(pipe, letter) == [("duplicate", "")]
    assert pipe.value("SELECT trip_id FROM events WHERE event_id = %s", uid(1, 2)) == 9
    assert receipt(pipe) == (3, 2, 1, 0)
    assert deadletters.show(pipe.connection, letter)["state"] == "duplicate"
    assert pipe.problems() == []


def test_a_replayed_event_is_a_duplicate_when_it_is_sent_again(pipe: Pipeline, letter: int) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    replay(pipe, letter)
    pipe.send(canonical(2, trip_id=9))
    assert pipe.value("SELECT count(*) FROM events") == 3
    assert totals(pipe) == (3, 1, 0)
    assert pipe.problems() == []


def test_a_replay_keeps_time_session_visitor_and_what_the_request_said(pipe: Pipeline) -> None:
    late = T0 - 40 * DAY
    pipe.send(visit(1, 5, session_id=None, occurred_at=late, trip_id=0), user_agent=ROBOT)
    (letter,) = deadletters.open_ids(pipe.connection)
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    assert replay(pipe, letter) == [("replayed", "")]
    assert pipe.row("SELECT extract(epoch FROM occurred_at) * 1000000 = %s, is_bot FROM events", late) == (True, True)
    assert pipe.value("SELECT count(*) FROM dirty_hours") == 1
    assert pipe.problems() == []


def test_a_patch_that_does_not_fit_is_refused_and_changes_nothing(pipe: Pipeline, letter: int) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"trip_id": "seven"}, "int"),
        ({"tripid": 7}, "no such field: tripid"),
        ({"event_type": None}, "no event_type"),
        ({"event_id": "no"}, "UUID"),
        ({"site_id": "other"}, "no such field: site_id"),
    )
    for changes, what in wrong:
        with pytest.raises(InvalidEvent, match=f"does not fit: .*{what}"):
            deadletters.patch(pipe.connection, letter, changes)
    assert deadletters.show(pipe.connection, letter)["raw"] == as_json(BAD)


def test_a_resolved_letter_and_an_unreadable_one_cannot_be_patched(
    pipe: Pipeline, letter: int, unreadable: int
) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    replay(pipe, letter)
    with pytest.raises(InvalidEvent, match="is replayed already"):
        deadletters.patch(pipe.connection, letter, {"trip_id": 8})
    with pytest.raises(InvalidEvent, match="cannot be read as an event"):
        deadletters.patch(pipe.connection, unreadable, {"trip_id": 8})


def test_an_unreadable_letter_is_shown_as_bytes_and_stays(pipe: Pipeline, unreadable: int) -> None:
    shown = deadletters.show(pipe.connection, unreadable)
    assert (shown["raw"], shown["event"], shown["events"]) == (b"\xc1", None, 3)
    assert replay(pipe, unreadable) == [("dead", "it cannot be read as an event")]
    assert deadletters.open_ids(pipe.connection) == []
    assert pipe.problems() == []


def test_a_dead_request_is_kept_to_look_at_and_says_so(
    pipe: Pipeline, environment: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = asked(1, preferences="{")
    pipe.ask(bad)
    letter = pipe.value("SELECT dead_letter_id FROM dead_letters")
    why = "an answered request is kept to look at; it cannot be replayed"
    shown = deadletters.show(pipe.connection, letter)
    assert (shown["raw"], shown["event"], deadletters.why_kept(shown)) == (bad.pack(), None, why)
    site_commands.show(letter)
    assert json.loads(capsys.readouterr().out)["not_replayable"] == why
    assert replay(pipe, letter) == [("dead", why)]
    with pytest.raises(InvalidEvent, match=why):
        deadletters.patch(pipe.connection, letter, {"trip_id": 8})
    assert deadletters.open_ids(pipe.connection) == []
    assert pipe.problems() == []


def test_a_new_id_in_a_patch_is_the_id_that_is_stored(pipe: Pipeline, letter: int) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7, "event_id": str(uid(1, 50))})
    replay(pipe, letter)
    assert pipe.value("SELECT event_id FROM events WHERE trip_id = 7") == uid(1, 50)
    assert pipe.problems() == []


def test_the_servers_trouble_leaves_the_letter_dead_and_is_raised(pipe: Pipeline, letter: int) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    with psycopg.connect(pipe.settings.database_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE trip_interactions RENAME TO away")
        with pytest.raises(psycopg.errors.UndefinedTable):
            replay(pipe, letter)
        owner.execute("ALTER TABLE away RENAME TO trip_interactions")
    assert replay(pipe, letter) == [("replayed", "")]


def test_a_patch_between_a_replays_reading_and_its_writing_is_not_lost(
    pipe: Pipeline, letter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    learn = deadletters.Dictionaries.learn

    def patched_meanwhile(self: Any, *arguments: Any) -> None:
        with db.connect(pipe.settings) as other:
            deadletters.patch(other, letter, {"trip_id": 8})
        learn(self, *arguments)

    with monkeypatch.context() as racing:
        racing.setattr(deadletters.Dictionaries, "learn", patched_meanwhile)
        assert replay(pipe, letter) == [("dead", "it was patched just now: replay it again")]
    assert replay(pipe, letter) == [("replayed", "")]
    assert pipe.value("SELECT max(trip_id) FROM events") == 8


def test_what_was_quarantined_is_a_letter_that_becomes_an_event_by_a_patch(pipe: Pipeline) -> None:
    unfit = Quarantined(uid(1, 9), "invalid_time", "A time must be ISO 8601.", '{"timestamp": "yesterday"}', 1)
    one = batch(canonical(1), n=1000, quarantined=[unfit])
    pipe.accept(one)
    pipe.drain()
    assert receipt(pipe) == (2, 1, 0, 1)
    (letter,) = deadletters.listed(pipe.connection, None, None, 10)
    assert letter["reason"] == "invalid_time: A time must be ISO 8601."
    number = letter["dead_letter_id"]
    ((verdict, reason),) = replay(pipe, number)
    assert verdict == "dead" and "no event_type" in reason
    deadletters.patch(pipe.connection, number, {"event_type": "page_view"})
    assert replay(pipe, number) == [("replayed", "")]
    assert pipe.value("SELECT metadata->'sent'->>'timestamp' FROM events WHERE event_id = %s", uid(1, 9)) == "yesterday"
    assert pipe.problems() == []


def test_a_letter_that_is_given_up_counts_as_discarded_once_and_can_be_replayed_no_more(
    pipe: Pipeline, letter: int, unreadable: int
) -> None:
    assert deadletters.discard(pipe.connection, [letter, unreadable]) == 2
    assert deadletters.discard(pipe.connection, [letter]) == 0
    assert pipe.row("SELECT sum(dead)::int, sum(discarded)::int FROM drained") == (0, 4)
    assert pipe.row("SELECT dead, discarded FROM batches WHERE batch_id = %s", uid(4, 1000)) == (0, 1)
    assert replay(pipe, letter) == [("already resolved", "discarded")]
    found = verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, uid(4, 1000), None)
    assert [(event.verdict, event.at) for event in found.events if event.verdict != "stored"] == [("discarded", 1)]
    assert pipe.problems() == []
