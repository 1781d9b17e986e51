"""A person is erased: planted everywhere, grepped for everywhere, while every figure stays as it was."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from schema import live, stream
from schema.errors import InvalidRequest, NotFound
from schema.event import MICROSECOND, Batch, Quarantined, Verified, now
from tests.conftest import Servers
from tests.make import DAY, T0, asked, batch, canonical, uid
from tests.workers.people import arrive
from tests.workers.pipeline import ROBOT, Pipeline
from tests.workers.retaining import retain
from workers import erasure, people
from workers.people import named

EMAIL, AUTH, ADDRESS = "Jane.Planted@Example.com", "auth|planted-4711", "203.0.113.0/24"
AGENT = "PlantedBrowser/9.9 (Macintosh; one of a kind)"
VISITOR, SESSION = uid(0xABCD, 77), uid(0xABCE, 78)
WORDS = ("jane.planted@example.com", AUTH, str(VISITOR), VISITOR.hex, str(SESSION), SESSION.hex, "203.0.113.", AGENT,
         "secret-word")  # fmt: skip
COUNTED = {
    "events": "SELECT count(*), count(DISTINCT session_id), count(DISTINCT user_id),"
    " count(DISTINCT visitor_key(anonymous_id, claimed_user, batch_id)), count(DISTINCT event_id) FROM events",
    "by type": "SELECT event_type_id, count(*) FROM events GROUP BY 1 ORDER BY 1",
    "users": "SELECT first_seen_at, last_seen_at, total_searches, total_clicks, total_events FROM users"
    " ORDER BY 1, 2, 5",
    "sessions": "SELECT started_at, last_seen_at, country, owner_code, share_code, device_type_id, page_view_count,"
    " search_count, click_count, save_count, contact_count, event_count FROM sessions ORDER BY 1, 2, 3, 12",
    "trips": "SELECT trip_id, impression_count, click_count, save_count, total_dwell_time_ms, dwell_count"
    " FROM trip_interactions ORDER BY 1",
    "hours": "SELECT hour, event_type_id, events, sessions FROM rollup_hourly ORDER BY 1, 2",
    "days": "SELECT date, event_type_id, events, sessions FROM daily_events ORDER BY 1, 2",
    "asked": "SELECT date, requests, impressions, clicks FROM recommendation_daily ORDER BY 1",
}


def planted(n: int, **fields: Any) -> Any:
    """The n-th event of the person, with something of it in every field that can hold it."""
    return canonical(n, **{
        "anonymous_id": VISITOR, "session_id": SESSION, "metadata": json.dumps({"email": EMAIL, "note": "secret-word"}),
        "page_url": f"https://shop.example/trips?mail={EMAIL}", "path": "/trips", "contact_id": "secret-word",
        "referrer": f"https://mail.example/inbox/{EMAIL}?q=secret-word",
        "utm": json.dumps({"utm_source": "mail", "utm_id": "secret-word"}),
    } | fields)  # fmt: skip


def hers(*events: Any, n: int, verified: bool = False, **shared: Any) -> Batch:
    """One request of hers, with her token or without."""
    token = Verified(AUTH, EMAIL.lower()) if verified else None
    for event in events if verified else ():
        event.auth_user_id = AUTH
    return batch(*events, n=n, verified=token, ip_prefix=ADDRESS, user_agent=AGENT, country="IL", **shared)


def plant(pipe: Pipeline) -> None:
    """Her, two others, and somebody's page that is named after her."""
    spoken = {"recommendation_request_id": uid(5, 1), "trip_id": 101}
    arrive(
        pipe,
        hers(planted(1), planted(2, event_type="search_submit"), planted(3, event_type="impression", **spoken), n=1),
        hers(planted(4, event_type="click_trip", **spoken), planted(5, event_type="user_identify"), n=2, verified=True),
        hers(planted(6, event_type="trip_dwell", trip_id=101,
                     metadata='{"duration_seconds": 12.5, "who": "secret-word"}'), n=3),
        hers(planted(7, event_type="payment.completed", metadata=json.dumps(
            {"amount": 99.5, "currency": "EUR", "email": EMAIL, "card": {"name": "secret-word", "total": 7}})), n=4),
        hers(planted(8, occurred_at=T0 + DAY), n=5, verified=True),
        hers(planted(9, anonymous_id=None, session_id=None, claimed_user=AUTH), n=6),
        hers(planted(1), n=7),  # a duplicate
        hers(planted(10, trip_id=-1), n=8, verified=True),  # a dead letter
        batch(planted(11), n=9, user_agent=ROBOT, ip_prefix=ADDRESS),
        batch(canonical(20, anonymous_id=uid(3, 1), session_id=uid(2, 1)),
              canonical(21, anonymous_id=uid(3, 1), session_id=uid(2, 1), event_type="message.sent",
                        metadata=json.dumps({"to": EMAIL}), path=f"/people/{EMAIL}"), n=10, user_agent="Somebody/1"),
        batch(canonical(22, anonymous_id=uid(3, 2), session_id=uid(2, 2)), n=11),
    )  # fmt: skip
    pipe.ask(asked(1, anonymous_id=VISITOR, session_id=SESSION, user_agent=AGENT), asked(2, session_id=uid(2, 1)))
    emit = "SELECT emit_platform_event('payment.initiated', 'transaction', %s::text, p_event_data => %s::jsonb)"
    pipe.value(emit, AUTH, json.dumps({"amount": 5, "mail": EMAIL}))
    live.begin(pipe.redis, "default", VISITOR, SESSION, now() // 1000, at_most=10)
    live.begin(pipe.redis, "default", uid(3, 1), uid(2, 1), now() // 1000, at_most=10)
    pipe.roll_up()


def figures(pipe: Pipeline) -> dict[str, Any]:
    return {name: pipe.rows(query) for name, query in COUNTED.items()}


def erase(pipe: Pipeline, **who: str) -> dict[str, Any]:
    """Ask for it, and do it."""
    erasure_id = people.request(pipe.connection, "default", named(**who), by="a test")
    return erasure.advance(pipe.settings, erasure_id)


def in_postgres(pipe: Pipeline) -> Iterator[str]:
    """Every row of every table and index sample, with whatever bytes hold, that has a word of her."""
    with psycopg.connect(pipe.settings.database_url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND NOT relispartition"
        ).fetchall()
        for (table,) in [*tables, ("pg_stats",)]:
            for (row,) in connection.execute(f"SELECT t::text FROM {table} AS t"):
                shown = row.lower()
                yield from (f"{table}: {word}" for word in WORDS if word.lower() in shown)
                yield from (f"{table}: {word} in hex" for word in WORDS if word.lower().encode().hex() in shown)


def in_redis(pipe: Pipeline, servers: Servers) -> Iterator[str]:
    """Every value, and every file that it is kept in."""
    wanted = [*(word.encode() for word in WORDS), VISITOR.bytes, SESSION.bytes]
    stored = {key.decode(): pipe.redis.dump(key) for key in pipe.redis.scan_iter()}
    files = {path.name: path.read_bytes() for path in (servers.postgres.state / "valkey").rglob("*") if path.is_file()}
    for name, content in (stored | files).items():
        yield from (f"{name}: {word!r}" for word in wanted if word.lower() in content.lower())


def test_nothing_of_an_erased_person_is_left_and_every_figure_is_as_it_was(
    pipe: Pipeline, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plant(pipe)
    with psycopg.connect(pipe.settings.database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")  # as autovacuum does: every table has samples
    before = figures(pipe)
    assert {word for word in WORDS if any(word in found for found in in_postgres(pipe))} >= {AUTH, AGENT, "203.0.113."}
    assert list(in_redis(pipe, servers))
    receipt = erase(pipe, email=EMAIL)
    assert (receipt["state"], receipt["remaining"], receipt["note"]) == ("done", {}, None)
    assert receipt["counts"] == {
        "events": 10, "event_ids": 10, "sessions": 2, "users": 2, "identities": 5, "identity_changes": 2, "batches": 2,
        "dead_letters": 1, "event_outbox": 1, "recommendation_requests": 1, "texts": 1, "user_agents": 1,
        "events, mentions in others": 1, "texts, mentions in others": 1, "daily_dimensions, mentions in others": 1,
        "weekly_dimensions, mentions in others": 1,
    }  # fmt: skip
    assert "backups and dumps" in receipt["not_covered"]
    assert list(in_postgres(pipe)) == []
    assert list(in_redis(pipe, servers)) == []
    assert [word for word in WORDS if word.lower() in caplog.text.lower()] == []
    assert figures(pipe) == before
    assert pipe.problems() == []
    assert live.ask_visitor(pipe.redis, "default", uid(3, 1)) == uid(2, 1).bytes


def test_what_was_queued_before_is_discarded_and_what_is_done_later_counts(pipe: Pipeline) -> None:
    arrive(pipe, hers(planted(1), n=1, verified=True))
    mixed = batch(planted(2), planted(3), canonical(4, anonymous_id=uid(3, 1), session_id=uid(2, 1)), n=2)
    mixed.quarantined = [
        Quarantined(uid(1, 5), "invalid_field", "not one", json.dumps({"userId": AUTH})),
        Quarantined(uid(1, 6), "invalid_field", "not one", json.dumps({"userId": "somebody else"})),
    ]
    pipe.accept(mixed, hers(planted(7), n=3, verified=True), lane=1)
    stream.append_asked(pipe.redis, 0, asked(1, anonymous_id=VISITOR, session_id=SESSION))
    receipt = erase(pipe, user=AUTH)
    assert receipt["state"] == "done"
    assert pipe.row("SELECT accepted, stored, dead, discarded FROM batches WHERE batch_id = %s", uid(4, 2)) == (
        5,
        1,
        1,
        3,
    )
    verdicts = pipe.value("SELECT verdicts FROM batches WHERE batch_id = %s", uid(4, 2))
    assert sorted(v["verdict"] for v in verdicts) == ["dead", "discarded", "discarded", "discarded"]
    assert pipe.rows("SELECT request_id FROM recommendation_requests") == []
    assert list(in_postgres(pipe)) == []
    later = now() + 60 * MICROSECOND
    arrive(pipe, hers(planted(8, occurred_at=T0 + 9), n=4), hers(planted(9, occurred_at=later), n=5, received_at=later))
    assert pipe.rows("SELECT stored, discarded FROM batches WHERE batch_id = ANY(%s) ORDER BY batch_id",
                     [uid(4, 4), uid(4, 5)]) == [(0, 1), (1, 0)]  # fmt: skip
    assert pipe.problems() == []


def test_a_crash_leaves_all_or_nothing_and_the_chore_goes_on(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(pipe, hers(planted(1), n=1, verified=True))
    erasure_id = people.request(pipe.connection, "default", named(user=AUTH), by="a test")
    before = pipe.rows("SELECT * FROM events")
    for step in ("entomb", "forget_unread"):  # the one in the transaction, the other after it
        with monkeypatch.context() as crashing:
            crashing.setattr(f"workers.erasing.{step}", _die)
            with pytest.raises(SystemExit):
                erasure.advance(pipe.settings, erasure_id)
    assert pipe.rows("SELECT * FROM events") == before
    with monkeypatch.context() as crashing:
        crashing.setattr("workers.sweeping.sweep", _die)
        with pytest.raises(SystemExit):
            erasure.advance(pipe.settings, erasure_id)
    assert people.receipt(pipe.connection, erasure_id)["state"] == "erased"
    assert pipe.problems() == []
    erasure.run_due(pipe.settings)
    done = people.receipt(pipe.connection, erasure_id)
    assert (done["state"], done["counts"]["events"]) == ("done", 1)
    assert pipe.value("SELECT subject FROM erasures") is None
    assert erasure.advance(pipe.settings, erasure_id) == done
    assert list(in_postgres(pipe)) == []


def _die(*_: Any, **__: Any) -> None:
    raise SystemExit


def test_what_remains_is_said_and_tried_again(pipe: Pipeline) -> None:
    arrive(pipe, hers(planted(1), n=1, verified=True))
    pipe.connection.execute("INSERT INTO tags (code, name_en, name_he) VALUES ('a_tag', %s, '')", (f"of {EMAIL}",))
    sketch = EMAIL.lower().encode()
    pipe.connection.execute("INSERT INTO daily_events VALUES ('default', '2020-01-01', 1, 1, 1, %s)", (sketch,))
    receipt = erase(pipe, email=EMAIL)
    assert (receipt["state"], receipt["remaining"]) == ("incomplete", {"daily_events": 1})
    assert pipe.value("SELECT name_en FROM tags WHERE code = 'a_tag'").startswith("of erased-")
    pipe.connection.execute("DELETE FROM daily_events WHERE date = '2020-01-01'")
    erasure.run_due(pipe.settings)
    assert people.receipt(pipe.connection, receipt["erasure_id"])["state"] == "incomplete"  # not again and again
    pipe.connection.execute("UPDATE erasures SET tried_at = now() - interval '2 hours'")
    erasure.run_due(pipe.settings)
    assert people.receipt(pipe.connection, receipt["erasure_id"])["state"] == "done"


def test_somebody_who_shared_the_browser_stays_as_they_were(pipe: Pipeline) -> None:
    arrive(
        pipe,
        hers(planted(1), n=1, verified=True),
        batch(canonical(5, anonymous_id=VISITOR, session_id=SESSION, auth_user_id="auth|other-9", metadata='{"a": 1}'),
              n=2, verified=Verified("auth|other-9", "other@example.com")),
        batch(canonical(6, anonymous_id=VISITOR, session_id=SESSION), n=3),
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match="name one as user"):
        people.request(pipe.connection, "default", named(anonymous_id=str(VISITOR)), by="a test")
    others = "SELECT * FROM events WHERE user_id = %s ORDER BY occurred_at"
    other = pipe.value("SELECT user_id FROM identities WHERE kind = 'auth' AND value = 'auth|other-9'")
    before = pipe.rows(others, other)
    assert len(before) == 2
    assert erase(pipe, user=AUTH)["state"] == "done"
    assert pipe.rows(others, other) == before
    assert pipe.value("SELECT count(*) FROM events WHERE anonymous_id = %s", VISITOR) == 2
    assert pipe.problems() == []


def test_a_browser_that_only_claimed_to_be_somebody_is_theirs_whole_unless_it_claimed_more(pipe: Pipeline) -> None:
    a, b = {"anonymous_id": uid(3, 1), "session_id": uid(2, 1)}, {"anonymous_id": uid(3, 2), "session_id": uid(2, 2)}
    arrive(pipe, batch(canonical(1, **a), canonical(2, claimed_user="u7", **a), n=1),
           batch(canonical(3, claimed_user="u7", **b), canonical(4, claimed_user="u8", **b), canonical(5, **b),
                 n=2))  # fmt: skip
    assert erase(pipe, user="u7")["counts"]["events"] == 3
    kept = pipe.rows("SELECT claimed_user FROM events WHERE anonymous_id = %s ORDER BY occurred_at", uid(3, 2))
    assert kept == [("u8",), (None,)]
    assert pipe.value("SELECT count(*) FROM events WHERE anonymous_id = %s OR claimed_user = 'u7'", uid(3, 1)) == 0
    assert pipe.problems() == []


def test_rows_that_retention_folded_are_covered_too(pipe: Pipeline, servers: Servers) -> None:
    arrive(pipe, hers(planted(1), planted(2, occurred_at=T0 + 40 * DAY), n=1, verified=True, received_at=T0 + 50 * DAY))
    pipe.roll_up()
    retain(pipe)
    before = figures(pipe)
    assert pipe.value("SELECT count(*) FROM base_sessions WHERE session_id = %s", SESSION) == 1
    counts = erase(pipe, user=AUTH)["counts"]
    assert (counts["events"], counts["base_users"], counts["base_sessions"]) == (1, 1, 1)
    assert figures(pipe) == before
    assert list(in_postgres(pipe)) == []
    assert pipe.problems() == []


def test_nobody_and_a_site_that_is_none_are_told_apart(pipe: Pipeline) -> None:
    assert erase(pipe, user="nobody-at-all")["counts"] == {}
    with pytest.raises(NotFound):
        people.request(pipe.connection, "elsewhere", named(user="x"), by="a test")
    for wrong in ({}, {"user": "a", "email": "b@c"}, {"anonymous_id": "no uuid"}, {"email": "none"}, {"user": " "}):
        with pytest.raises(InvalidRequest):
            named(**wrong)
    with pytest.raises(NotFound):
        people.receipt(pipe.connection, uid(9))
