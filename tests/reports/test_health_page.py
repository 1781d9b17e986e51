"""The page of health where something is away, and of dead letters for who may not: it says what, and what to do."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from reports import conservation
from schema import db, sites
from schema.settings import Settings
from tests.ingest.serving import Server, add_site, serving
from tests.make import canonical
from tests.reports.listening import LOCAL
from tests.workers.pipeline import Pipeline

HERE = {"sec-fetch-site": "same-origin"}
FAR = "203.0.113.7"


def looked_at(settings: Settings, **away: Any) -> str:
    with serving(settings.model_copy(update=away), announced=False) as server:
        answer = server.request("GET", "/dashboard/health", headers=LOCAL)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_redis_away_is_an_alarm_with_its_remedy(settings: Settings) -> None:
    text = looked_at(settings, redis_url="redis://127.0.0.1:1")
    for said in ("TripstreamRedisAway", "Start Redis", "Redis cannot be reached, which knows what was accepted"):
        assert said in text
    assert "All is well" not in text


def test_postgres_away_is_an_alarm_with_its_remedy(settings: Settings) -> None:
    text = looked_at(settings, database_url="postgresql://127.0.0.1:1/x")
    for said in ("TripstreamPostgresAway", "Start Postgres; drains go on by themselves", "cannot be reached"):
        assert said in text
    assert "All is well" not in text


def test_books_that_were_not_counted_are_not_said_to_add_up(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    add_site(pipe.settings, "one")
    with serving(pipe.settings) as server:
        key = {"x-read-key": key_of(server, "one", "read")}

        def said() -> tuple[bool, bool]:
            text = server.request("GET", "/dashboard/health", host=FAR, headers=key).text
            return "The books of this site add up" in text, "Too many batches wait" in text

        assert said() == (True, False)
        monkeypatch.setattr(conservation, "BATCHES_MAX", -1)
        assert said() == (False, True)


@pytest.fixture
def letter(pipe: Pipeline) -> int:
    """A dead letter of the site `one`."""
    add_site(pipe.settings, "one")
    add_site(pipe.settings, "other")
    pipe.send(canonical(2, event_type="click_trip", trip_id=0), site_id="one")
    return int(pipe.value("SELECT dead_letter_id FROM dead_letters"))


def key_of(server: Server, site_id: str, role: str) -> str:
    with db.connect(server.settings) as connection:
        return sites.add_key(connection, site_id, role)


def test_a_letter_is_shown_to_its_site_and_changed_with_its_admin_key_only(pipe: Pipeline, letter: int) -> None:
    settings = pipe.settings.model_copy(update={"admin_key": SecretStr("installation")})
    one, every = f"/dashboard/dead-letters/{letter}", "/dashboard/dead-letters/all"
    with serving(settings) as server:

        def ask(method: str, path: str, key: str, **said: str) -> httpx.Response:
            headers = HERE | {"x-read-key": key}
            return server.request(method, path, host=FAR, headers=headers, **({"data": said} if said else {}))

        keys = {(site, role): key_of(server, site, role) for site in ("one", "other") for role in ("read", "admin")}
        assert ask("GET", one, keys["one", "read"]).status_code == 200
        assert ask("GET", one, keys["other", "admin"]).status_code == 404
        assert "out of range" not in ask("GET", "/dashboard/dead-letters?state=all", keys["other", "admin"]).text
        for path in (one, every):
            assert ask("POST", path, keys["one", "read"], do="discard", sure="yes").status_code == 403
            ask("POST", path, keys["other", "admin"], do="discard", sure="yes")
            ask("POST", path, keys["other", "admin"], do="replay")
            ask("POST", path, "installation", do="discard", sure="yes")  # looks at the default site
        assert pipe.value("SELECT state FROM dead_letters") == "dead"
        lost = ask("POST", one, "ts_admin_revoked", do="patch", event='{"typed": "for long"}')
        assert (lost.status_code, "{&#34;typed&#34;: &#34;for long&#34;}" in lost.text) == (401, True)
        assert ask("POST", one, keys["one", "admin"], do="discard", sure="yes").status_code == 200
    assert pipe.value("SELECT state FROM dead_letters") == "discarded"
    assert pipe.problems() == []


def test_a_letter_that_was_patched_meanwhile_is_not_patched_over(pipe: Pipeline, letter: int) -> None:
    path = f"/dashboard/dead-letters/{letter}"
    with serving(pipe.settings) as server:
        headers = HERE | {"x-read-key": key_of(server, "one", "admin")}
        event = '{"event_type": "click_trip", "trip_id": %d, "event_id": "%s", "occurred_at": 1767225600000000}'
        event_id = canonical(2).event_id

        def patch(trip: int) -> httpx.Response:
            said = {"do": "patch", "seen": "", "event": event % (trip, event_id)}
            return server.request("POST", path, host=FAR, headers=headers, data=said)

        assert patch(5).status_code == 303
        second = patch(6)
        assert second.status_code == 400
        assert "Somebody else changed this letter" in second.text
        assert "&#34;trip_id&#34;: 6" in second.text


def test_what_no_text_can_hold_is_refused_in_words(pipe: Pipeline, letter: int) -> None:
    path = f"/dashboard/dead-letters/{letter}"
    with serving(pipe.settings) as server:
        headers = HERE | {"x-read-key": key_of(server, "one", "admin")}
        said = {"do": "patch", "seen": "", "event": '{"event_type": "half \\ud800"}'}
        answer = server.request("POST", path, host=FAR, headers=headers, data=said)
    assert (answer.status_code, "half of a character" in answer.text) == (400, True)


def test_what_came_with_a_letter_that_cannot_be_read_is_for_the_admin_key(pipe: Pipeline, letter: int) -> None:
    """It may hold the network it came from, and whose token: of other letters nobody is shown these."""
    pipe.connection.execute("UPDATE dead_letters SET event_id = NULL, raw = 'verified: jane@example.com'")
    with serving(pipe.settings) as server:
        keys = {role: {"x-read-key": key_of(server, "one", role)} for role in ("read", "admin")}
        path = f"/dashboard/dead-letters/{letter}"
        shown = {role: server.request("GET", path, host=FAR, headers=key).text for role, key in keys.items()}
    sent = base64.b64encode(b"verified: jane@example.com").decode()
    assert ("cannot be read" in shown["read"], sent in shown["read"], sent in shown["admin"]) == (True, False, True)
