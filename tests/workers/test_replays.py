"""What a letter keeps of its request, and what its batch's verdicts say after a replay."""

from __future__ import annotations

from schema.event import Quarantined, Verified
from tests.make import canonical, uid
from tests.workers.pipeline import Pipeline, visit
from workers import deadletters


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
