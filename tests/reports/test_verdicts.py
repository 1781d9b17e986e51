"""What became of each event of a batch, and who may ask; the rows are found without reading the whole table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from reports import verdicts
from reports.verdicts import Verdicts
from schema.event import Quarantined, Refused, new_id, now
from schema.registry import key_hash, new_key
from schema.settings import Settings
from schema.sql import load
from tests.ingest.serving import Server, serving
from tests.make import DAY, HOUR, MINUTE, SECOND, T0, batch, body, canonical, event, uid
from tests.reports import listening
from tests.workers.pipeline import ROBOT, Pipeline
from workers import deadletters
from workers.resolve import moment

PATH = "/api/verdicts"


def ask(pipe: Pipeline, batch_id: UUID, site_id: str | None = None) -> Verdicts:
    found = verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, batch_id, site_id)
    assert found is not None
    return found


def short(found: Verdicts) -> list[tuple[Any, ...]]:
    return [(e.at, e.event_id and int(e.event_id[-4:], 16), e.verdict) for e in found.events]


def test_each_event_of_a_batch_has_a_verdict(pipe: Pipeline) -> None:
    pipe.send(canonical(1))
    refused = [Refused(4, "invalid_field", "position: no", "click")]
    unfit = [Quarantined(uid(1, 9), "invalid_time", "A time must be ISO 8601.", "{}", 1)]
    events = [canonical(2, path="/x"), canonical(1), canonical(3, trip_id=0), canonical(4, user_agent=ROBOT)]
    found = ask(pipe, pipe.send(*events, refused=refused, quarantined=unfit))
    assert found[1:8] == ("default", "stored", moment(T0 + HOUR), 5, 2, 1, 2)
    assert short(found) == [
        (1, 9, "dead"), (2, 1, "duplicate"), (3, 3, "dead"), (4, None, "refused"),
        (None, 2, "stored"), (None, 4, "bot"),
    ]  # fmt: skip
    reasons = [e.reason for e in found.events]
    assert reasons[:2] == ["invalid_time: A time must be ISO 8601.", None]
    assert reasons[2] and "trip_id" in reasons[2]
    assert reasons[3:5] == ["invalid_field: position: no", None]
    assert reasons[5] and "bot" in reasons[5].lower()
    stored = found.events[4]
    assert (stored.event_type, stored.visitor, stored.path) == ("page_view", str(uid(3)), "/x")
    assert stored.occurred_at == moment(T0 + 2 * SECOND)


def test_a_letter_that_was_replayed_is_dead_no_more(pipe: Pipeline) -> None:
    sent = pipe.send(canonical(1, trip_id=0), canonical(2, trip_id=0), canonical(3, trip_id=0))
    pipe.send(canonical(2))
    one, two, _ = deadletters.open_ids(pipe.connection)
    for letter in (one, two):
        deadletters.patch(pipe.connection, letter, {"trip_id": 1})
        deadletters.replay(pipe.connection, [letter], pipe.settings)
    found = ask(pipe, sent)
    assert (found.stored, found.duplicate, found.dead) == (1, 1, 1)
    assert short(found) == [(0, 1, "stored"), (1, 2, "duplicate"), (2, 3, "dead")]
    assert [e.reason is None for e in found.events] == [True, True, False]


def test_events_of_long_ago_are_found_too(pipe: Pipeline) -> None:
    events = [canonical(1), canonical(2, occurred_at=T0 - 90 * DAY), canonical(3, event_type="booking_complete")]
    assert len(short(ask(pipe, pipe.send(*events)))) == 3


def test_a_batch_that_waits_is_queued_with_what_it_brings(pipe: Pipeline) -> None:
    refused = [Refused(0, "too_old", "long ago", "click")]
    at = now()
    one = batch(canonical(1), batch_id=new_id(at), received_at=at, refused=refused)
    pipe.accept(batch(n=1), one, lane=1)
    found = ask(pipe, one.batch_id)
    assert found[1:5] == ("default", "queued", moment(at), 1)
    assert short(found) == [(0, None, "refused"), (1, 1, "queued")]
    assert verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, one.batch_id, "other") is None
    pipe.drain(1)
    assert ask(pipe, one.batch_id).state == "stored"
    assert ask(pipe, one.batch_id, "default").state == "stored"
    assert verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, one.batch_id, "other") is None


def test_an_entry_that_nobody_can_read_is_one_verdict(pipe: Pipeline) -> None:
    pipe.redis.xadd("ev:0", {"v": b"1", "s": "default", "b": uid(4, 7).bytes, "n": 9, "d": b"\xc1"})
    pipe.drain()
    found = ask(pipe, uid(4, 7))
    assert (found.accepted, found.dead) == (9, 9)
    assert found.events == [verdicts.Verdict(None, None, None, "dead", "the entry cannot be read")]


def test_what_is_not_known_is_none(pipe: Pipeline) -> None:
    for batch_id in (uid(4, 99), new_id(T0), UUID(int=0), UUID(int=2**128 - 1)):
        assert verdicts.of_batch(pipe.connection, pipe.redis, pipe.settings, batch_id, None) is None


def test_the_newest_batches_come_oldest_first_and_none_twice(pipe: Pipeline) -> None:
    ids = []
    for n in range(4):
        at = T0 + HOUR + n * MINUTE
        ids.append(pipe.send(canonical(n), batch_id=new_id(at), received_at=at))
    found = verdicts.newest(pipe.connection, UUID(int=0), None, 3)
    assert [one.batch_id for one in found] == ids[1:]
    assert [len(one.events) for one in found] == [1, 1, 1]
    assert [one.batch_id for one in verdicts.since(pipe.connection, ids[0], "default", ids[1:2], 2)] == [ids[0], ids[2]]
    assert verdicts.since(pipe.connection, UUID(int=0), "other", [], 2) == []
    assert verdicts.ids_since(pipe.connection, ids[1], "default", 2) == [ids[3], ids[2]]


MANY = """
    INSERT INTO events (occurred_at, received_at, category, event_type_id, is_bot, event_id, batch_id, session_id,
        site_id)
    SELECT at, at, 'interaction', 1, false, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'default'
    FROM generate_series('2026-01-01'::timestamptz, '2026-02-27', '2 minutes') AS at"""


def test_a_batch_is_found_by_its_time_in_its_months_and_nothing_is_read_whole(pipe: Pipeline) -> None:
    at = T0 + 35 * DAY
    sent = pipe.send(canonical(1), canonical(2, occurred_at=at), received_at=at)
    with psycopg.connect(pipe.settings.database_url, autocommit=True) as owner:
        owner.execute(MANY)  # type: ignore[arg-type]
        owner.execute("ANALYZE events")

    def plan(reach: int) -> str:
        asked = {"batch_ids": [sent], "first": moment(at), "last": moment(at), "since": moment(at - reach)}
        rows = pipe.connection.execute("EXPLAIN " + load("verdicts")["stored_events"], asked).fetchall()
        return "\n".join(row[0] for row in rows)

    lately, ever = plan(HOUR), plan(400 * DAY)
    assert set(re.findall(r" on (events_interaction_\d{4}_\d\d) ", lately)) == {"events_interaction_2026_02"}
    assert "Seq Scan on events" not in lately + ever
    _, index = ever.split("Bitmap Index Scan on events_interaction_2026_01_occurred_at_received_at_idx")
    assert "received_at" in index.split("\n")[1]
    assert len(ask(pipe, sent).events) == 2


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings) as running:
        yield running


def key_of(pipe: Pipeline, site_id: str, role: str) -> str:
    key = new_key(role)
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES (%s, 'x') ON CONFLICT DO NOTHING", (site_id,))
    pipe.connection.execute(
        "INSERT INTO site_keys (key_hash, site_id, role) VALUES (%s, %s, %s)", (key_hash(key), site_id, role)
    )
    return key


def test_the_route_answers_from_accept_to_row(server: Server, pipe: Pipeline) -> None:
    given = server.post(body(event(1), event(2, position=-1), event(3))).json()
    local = {"host": "localhost:8000"}
    asked = {"params": {"batch_id": given["batch_id"]}, "headers": local}
    queued = server.request("GET", PATH, **asked).json()
    assert (queued["state"], queued["accepted"], queued["stored"]) == ("queued", 2, 0)
    assert [(e["index"], e["verdict"]) for e in queued["events"]] == [(0, "queued"), (1, "refused"), (2, "queued")]
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    found = server.request("GET", PATH, **asked)
    assert found.status_code == 200
    answer = found.json()
    counts = ("accepted", "stored", "duplicate", "dead", "discarded")
    assert [answer[name] for name in counts] == [2, 2, 0, 0, 0]
    assert (answer["batch_id"], answer["site_id"], answer["state"]) == (given["batch_id"], "default", "stored")
    refused, *stored = answer["events"]
    said = given["rejected"][0]
    assert refused == {
        "index": 1, "event_id": None, "event_type": "page_view", "verdict": "refused",
        "reason": f"{said['code']}: {said['message']}",
    }  # fmt: skip
    assert [(e["event_id"], e["verdict"]) for e in stored] == [(str(uid(1, n)), "stored") for n in (1, 3)]


def test_an_index_is_the_place_in_the_request_whatever_was_refused_before_it(server: Server, pipe: Pipeline) -> None:
    pipe.send(canonical(1))
    given = server.post(body(event(3, position=-1), event(2), event(1), event(2))).json()
    asked = {"params": {"batch_id": given["batch_id"]}, "headers": {"host": "localhost"}}

    def told() -> list[tuple[int, str]]:
        return [(e["index"], e["verdict"]) for e in server.request("GET", PATH, **asked).json()["events"]]

    assert told() == [(0, "refused"), (1, "queued"), (2, "queued"), (3, "queued")]
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    assert told() == [(0, "refused"), (2, "duplicate"), (3, "duplicate"), (None, "stored")]


def test_a_batch_of_which_nothing_was_accepted_says_why(server: Server, pipe: Pipeline) -> None:
    given = server.post(body(event(1, position=-1))).json()
    assert given["accepted"] == 0
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    answer = server.request("GET", PATH, params={"batch_id": given["batch_id"]}, headers={"host": "localhost"}).json()
    assert (answer["state"], answer["accepted"]) == ("stored", 0)
    assert [e["verdict"] for e in answer["events"]] == ["refused"]
    assert pipe.problems() == []


def test_only_who_may_read_the_site_learns_of_its_batches(settings: Settings, pipe: Pipeline) -> None:
    settings = settings.model_copy(update={"admin_key": type(settings.admin_key)("s3cret")})
    mine, sent = key_of(pipe, "mine", "read"), pipe.send(canonical(1), site_id="mine")
    others, writes = key_of(pipe, "others", "read"), key_of(pipe, "mine", "write")
    admin, others_admin = key_of(pipe, "mine", "admin"), key_of(pipe, "others", "admin")
    with serving(settings) as server:

        def status(key: str | None, batch_id: object = sent, host: str = "203.0.113.7") -> tuple[int, Any]:
            headers = {"authorization": f"Bearer {key}"} if key else {"host": "localhost"}
            answer = server.request("GET", PATH, host=host, params={"batch_id": str(batch_id)}, headers=headers)
            return answer.status_code, answer.json().get("code")

        assert status(mine) == status(admin) == status("s3cret") == (200, None)
        assert status(others_admin) == (404, "not_found")
        assert status(others) == status(others, uid(4, 12345)) == (404, "not_found")
        assert status(None, host="127.0.0.1") == (404, "not_found")  # this machine reads the demo site
        assert status(None)[0] == status("nonsense")[0] == 401
        assert status(writes)[0] in (401, 403)
        assert status(mine, "no id") == (422, "invalid_request")


def test_without_redis_it_is_said_that_nobody_knows(settings: Settings) -> None:
    key = listening.bearer(listening.key_of(settings, "shop"))
    with serving(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}), announced=False) as server:
        answer = server.request("GET", f"/api/verdicts?batch_id={new_id(now())}", headers=key)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "storage", "2")
