"""What a letter keeps of its request, and what its batch's verdicts say after a replay."""

from __future__ import annotations

from uuid import UUID

import pytest

from reports import verdicts
from schema import schemas
from schema.event import Quarantined, Refused, Verified
from tests.make import canonical, uid
from tests.workers.pipeline import Pipeline, visit
from workers import deadletters, fits


def replay(pipe: Pipeline, *ids: int) -> list[tuple[str, str]]:
    return [(one.verdict, one.reason) for one in deadletters.replay(pipe.connection, ids, pipe.settings)]


def test_a_replay_keeps_the_verified_user_its_role_and_email_and_the_category(pipe: Pipeline) -> None:
    ann = Verified("ann", "ann@example.com", "admin")
    unfit = Quarantined(uid(1, 9), "invalid_time", "A time must be ISO 8601.", "{}", 1)
    bad = visit(1, 5, event_type="booking.made", trip_id=0, auth_user_id="ann")
    pipe.send(bad, quarantined=[unfit], verified=ann, category="transaction")
    pipe.send(visit(2, 6))
    pipe.send(visit(3, 7, auth_user_id="ann2"), verified=Verified("ann2", "ann@example.com"))
    for letter in deadletters.open_ids(pipe.connection):
        deadletters.patch(pipe.connection, letter, {"trip_id": 7, "event_type": "booking.made"})
        assert replay(pipe, letter) == [("replayed", "")]
    found = pipe.rows(
        "SELECT user_role, category::text, auth_user_id FROM readable_events WHERE event_type = 'booking.made'"
    )
    assert found == [("admin", "transaction", "ann")] * 2
    assert pipe.value("SELECT count(*) FROM identities WHERE kind = 'email' AND auth = 'ann'") == 1
    assert pipe.rows("SELECT DISTINCT shared->'verified' FROM dead_letters") == [(None,)]
    assert pipe.problems() == []


def test_a_reason_with_a_nul_stops_nothing(pipe: Pipeline) -> None:
    pipe.send(canonical(1), quarantined=[Quarantined(uid(1, 9), "invalid_field", "a\0b: is no field", "{}", 1)])
    assert pipe.value("SELECT reason FROM dead_letters") == "invalid_field: a\ufffdb: is no field"
    assert pipe.row("SELECT accepted, stored, dead FROM batches") == (2, 1, 1)


def test_a_replay_of_many_letters_compiles_the_schemas_once(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas.add(pipe.connection, "contact_phone", '{"required": ["metadata"]}', schemas.Marks())
    pipe.send(*(canonical(n, trip_id=0) for n in range(3)))
    ids = deadletters.open_ids(pipe.connection)
    for letter in ids:
        deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    compiled = []
    monkeypatch.setattr(fits, "compile_all", lambda rows: compiled.append(len(rows)) or {})
    assert replay(pipe, *ids) == [("replayed", "")] * 3
    assert compiled == [1]


def told(pipe: Pipeline, batch_id: UUID) -> list[tuple[int | None, str | None, str]]:
    found = verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, batch_id, None)
    assert found is not None
    return [(e.at, e.event_id, e.verdict) for e in found.events]


def test_two_letters_of_one_id_are_told_apart(pipe: Pipeline) -> None:
    sent = pipe.send(
        canonical(1, trip_id=0), canonical(2), canonical(1, trip_id=0), refused=[Refused(0, "x", "y", "z")]
    )
    first, second = deadletters.open_ids(pipe.connection)
    one, two = str(uid(1, 1)), str(uid(1, 2))
    rest = [(0, None, "refused"), (None, two, "stored")]
    for letter, expected in (
        (second, [(1, one, "dead"), (3, one, "stored")]),
        (first, [(1, one, "duplicate"), (3, one, "stored")]),
    ):
        deadletters.patch(pipe.connection, letter, {"trip_id": 7})
        replay(pipe, letter)
        assert told(pipe, sent) == [rest[0], *expected, rest[1]]


def test_a_letter_with_a_new_id_is_told_by_it(pipe: Pipeline) -> None:
    sent = pipe.send(canonical(1, trip_id=0))
    (letter,) = deadletters.open_ids(pipe.connection)
    deadletters.patch(pipe.connection, letter, {"trip_id": 7, "event_id": str(uid(1, 50))})
    replay(pipe, letter)
    assert told(pipe, sent) == [(0, str(uid(1, 50)), "stored")]
