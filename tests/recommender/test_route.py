"""POST /api/v2/recommendations over HTTP, on real servers: shape, refusals, and what it promises of freshness."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from recommender import asking
from schema import db, sites, stream
from schema.asked import Asked
from schema.settings import Settings
from tests.conftest import Servers
from tests.ingest.serving import Server, add_site, serving
from tests.make import uid
from tests.recommender.marketplace import Marketplace, opened
from tests.tripstream.waiting import until
from tripstream.embedded_valkey import Valkey

PATH = "/api/v2/recommendations"
GOLDEN = Path(__file__).with_name("answer.json")


@pytest.fixture
def server(at_home: Settings, market: Marketplace) -> Iterator[Server]:
    with serving(at_home) as running:
        yield running


def ask(server: Server, **wanted: Any) -> dict[str, Any]:
    answer = server.request("POST", PATH, json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict[str, Any]) -> list[int]:
    return [one["occurrenceId"] for one in answer["results"]]


def settle(server: Server, *expected: int) -> None:
    """Wait until the web process has heard of all these trips, by its own thread."""

    def heard() -> bool:
        answer = ask(server)
        return (ids(answer), answer["totalCandidates"]) == (list(expected[:10]), len(expected))

    until(heard, "the web process has heard of them", 5)


def logged(settings: Settings) -> list[Asked]:
    with stream.connect(settings.streams_url) as redis:
        rows = [row for lane in range(settings.lanes) for row in redis.xrange(f"ev:{lane}")]
    return [Asked.unpack(fields[b"d"]) for _, fields in rows]


def test_the_answer_has_this_shape(server: Server, market: Marketplace) -> None:
    template = market.template(countries=("VA",), tags=(1, 2), description_en="Seven hills", primary_country="IT")
    market.occurrence(template, 100, status="Last Places", price="999.90")
    market.occurrence(market.template(primary_country="FR", type_id=2, difficulty=3), 101, guide_id=None)
    until(lambda: ask(server)["totalCandidates"] == 2, "the trips are known", 5)
    wanted = {"selectedCountries": ["it"], "preferred_theme_ids": [1, 2], "budget": 1000, "difficulty": 2,
              "preferredTypeId": 1, "session_id": str(uid(2)), "anonymousId": str(uid(3))}  # fmt: skip
    answer = ask(server, **wanted)
    assert UUID(answer["requestId"]).version == 7
    assert 0 < answer["responseTimeMs"] < 5000
    for one in answer["results"]:
        assert one["startsOn"] < one["endsOn"]
    fixed = {"requestId": "…", "responseTimeMs": 1.5}
    days = {"startsOn": "2027-01-01", "endsOn": "2027-01-07"}
    shown = answer | fixed | {"results": [one | days for one in answer["results"]]}
    text = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    if not GOLDEN.exists():  # delete it, run this, and read the difference
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_time_of_an_answer_begins_when_its_body_was_read(
    server: Server, market: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(server, *market.trips(1))
    parse = asking.parse

    def slow(*given: Any) -> asking.Asking:
        time.sleep(0.05)
        return parse(*given)

    monkeypatch.setattr(asking, "parse", slow)
    answer = ask(server)
    assert answer["responseTimeMs"] > 50
    times = {str(one.request_id): one.response_time_us for one in logged(server.settings)}
    assert times[answer["requestId"]] == round(answer["responseTimeMs"] * 1000)


def test_an_answer_is_logged_once_it_was_sent(server: Server, market: Marketplace) -> None:
    (trip,) = market.trips(1)
    settle(server, trip)
    with stream.connect(server.settings.streams_url) as redis:
        redis.delete("ev:0", "ev:1")
    answer = ask(server, selectedCountries=["IT"], budget="1000.50", sessionId=str(uid(2)), anonymous_id=str(uid(3)))
    (entry,) = logged(server.settings)
    assert str(entry.request_id) == answer["requestId"]
    assert (entry.site_id, entry.session_id, entry.anonymous_id) == ("default", uid(2), uid(3))
    assert entry.filters == ["geography", "budget"]
    assert (entry.search_type, entry.policy_id, entry.policy_version) == ("focused_search", "rules", 1)
    assert [(one.trip_id, one.position, one.is_relaxed) for one in entry.results] == [(trip, 1, False)]
    asked = json.loads(entry.preferences)
    assert (asked["selected_countries"], asked["budget"], asked["year"]) == (["IT"], 1000.5, "all")
    assert (entry.primary_count, entry.relaxed_count, entry.total_candidates) == (1, 0, 1)


def test_a_trip_that_sold_out_a_second_ago_is_not_shown_and_the_next_ones_move_up(
    server: Server, market: Marketplace
) -> None:
    trips = market.trips(12)
    settle(server, *trips)
    server.app.state.recommender.fresh.stop()  # nothing tells the web process any more
    market.sell_out(trips[0], trips[9])
    market.run("UPDATE trip_occurrences SET price = 1.50 WHERE occurrence_id = %s", trips[1])
    market.run("UPDATE trip_occurrences SET is_active = false WHERE occurrence_id = %s", trips[2])
    market.run("UPDATE companies SET name = 'Near By'")
    market.run("UPDATE guides SET is_active = false")
    answer = ask(server)
    assert ids(answer) == [trips[1], *trips[3:9], *trips[10:]]
    assert (answer["results"][0]["company"]["name"], answer["results"][0]["guide"]) == ("Near By", None)
    assert [one["position"] for one in answer["results"]] == list(range(1, 10))
    assert answer["results"][0]["price"] == 1.5


def test_where_trips_are_gone_the_search_is_done_again_and_may_be_a_relaxed_one(
    server: Server, market: Marketplace
) -> None:
    hikes, safaris = market.trips(6), market.trips(2, first=200, type_id=2)
    settle(server, *hikes, *safaris)
    assert ids(ask(server, preferredTypeId=1)) == hikes
    server.app.state.recommender.fresh.stop()
    market.sell_out(*hikes[:3])
    answer = ask(server, preferredTypeId=1)
    assert ids(answer) == hikes[3:] + safaris
    assert (answer["primaryCount"], answer["relaxedCount"]) == (3, 2)
    market.sell_out(*hikes, *safaris)
    assert ids(ask(server)) == []


def test_what_is_said_of_a_trip_is_at_most_two_seconds_old(server: Server, market: Marketplace) -> None:
    settle(server, *market.trips(2))

    def said(*names: str) -> list[Any]:
        return [[one[name] for name in names] for one in ask(server)["results"]]

    assert said("titleEn", "tags") == [["Rome", []], ["Rome", []]]
    market.run("UPDATE trip_templates SET title_en = 'Ostia', difficulty = 1 WHERE template_id = 2")
    until(lambda: said("titleEn", "difficulty") == [["Rome", 2], ["Ostia", 1]], "the title is the new one", 2)
    market.run("INSERT INTO trip_template_countries VALUES (1, 'FR')")
    until(lambda: said("moreCountries") == [[["FR"]], [[]]], "the country is there", 2)


def test_connections_are_there_before_anybody_asks(server: Server, settings: Settings) -> None:
    asleep = """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle' AND query LIKE '%%trip_template_countries%%'"""
    with db.connect(settings, "owner") as connection:

        def prepared() -> bool:
            server.run(asyncio.sleep(0.01))  # the event loop runs only while it is lent
            return connection.execute(asleep).fetchall() == [(4,)]

        until(prepared, "four of them have prepared the last query")


def test_an_app_that_started_without_postgres_answers_once_it_is_there(own_servers: Any, tmp_path: Path) -> None:
    servers: Servers = own_servers()
    settings = servers.settings(state=tmp_path)
    with db.connect(settings) as connection:
        trips = opened(settings, connection).trips(2)
    servers.postgres.stop(immediate=True)
    with serving(settings, announced=False) as server:
        server.app.state.recommender.fresh.ready.set()  # nobody waits for the catalogue
        assert server.request("POST", PATH, json={}).status_code == 503
        servers.postgres.start()
        until(lambda: server.request("POST", PATH, json={}).status_code == 200, "it is there", 10)
        assert ids(ask(server)) == trips


def test_a_closed_site_is_asked_with_its_key(server: Server) -> None:
    key = add_site(server.settings, "closed")
    server.look()
    assert server.request("POST", PATH, json={"siteId": "closed"}).status_code == 401
    ask(server, siteId="closed", writeKey=key)
    assert server.request("POST", PATH, json={}, headers={"x-write-key": key}).status_code == 200
    assert {entry.site_id for entry in logged(server.settings)} == {"closed"}


def test_without_redis_trips_come_all_the_same_and_the_loss_is_counted(
    at_home: Settings, market: Marketplace, state: Path
) -> None:
    trips = market.trips(2)
    valkey = Valkey(state, bytes_max=64 << 20).start()
    cut = at_home.model_copy(update={"redis_url": valkey.url(), "redis_seconds_max": 0.3})
    try:
        with serving(cut) as server:
            settle(server, *trips)
            valkey.stop(immediate=True)
            before = _lost(server)
            assert ids(ask(server)) == trips
            assert ids(ask(server)) == trips
            assert _lost(server) == before + 2
        with serving(cut, announced=False) as server:
            assert ids(ask(server)) == trips
    finally:
        valkey.stop(immediate=True)


def test_before_the_sites_are_known_trips_come_and_are_not_logged(server: Server, market: Marketplace) -> None:
    trips = market.trips(1)
    settle(server, *trips)
    seen, before, server.gate.registry = len(logged(server.settings)), _lost(server), None
    assert ids(ask(server, siteId="shop", writeKey="ts_write_unknown")) == trips
    assert (len(logged(server.settings)), _lost(server)) == (seen, before + 1)


def test_without_postgres_it_is_busy_and_then_it_answers_again(own_servers: Any, tmp_path: Path) -> None:
    servers: Servers = own_servers()
    settings = servers.settings(state=tmp_path)
    with db.connect(settings) as connection:
        trips = opened(settings, connection).trips(2)
    with serving(settings) as server:
        settle(server, *trips)
        servers.postgres.stop(immediate=True)
        answer = server.request("POST", PATH, json={})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage")
        assert answer.headers["retry-after"] == "2"
        servers.postgres.start()
        until(lambda: server.request("POST", PATH, json={}).status_code == 200, "it is back", 10)


def _lost(server: Server) -> float:
    lines = server.request("GET", "/metrics").text.splitlines()
    return next(
        float(line.split(" ")[1]) for line in lines if line.startswith("tripstream_recommendation_log_lost_total")
    )


def test_an_app_that_starts_a_second_time_sees_changes_again(at_home: Settings, market: Marketplace) -> None:
    first = market.trips(1)[0]
    with serving(at_home) as server:
        settle(server, first)
    with serving(at_home, server.app) as again:
        second = market.trips(1, 101)[0]
        settle(again, first, second)
        market.sell_out(first)
        settle(again, second)


def test_a_browser_that_opts_out_gets_its_trips_and_the_log_does_not_say_who_asked(
    server: Server, market: Marketplace, at_home: Settings
) -> None:
    with db.connect(at_home, "owner") as connection:
        sites.change_site(connection, "default", {"signals": "honour"})
    sites.announce(at_home)
    server.look()
    who = {"sessionId": str(uid(2)), "anonymousId": str(uid(3))}
    for says in ({}, {"sec-gpc": "1"}):
        assert server.request("POST", PATH, json=who, headers=says).status_code == 200
    until(lambda: len(logged(at_home)) == 2, "both are logged")
    unknown, known = sorted(logged(at_home), key=lambda one: one.session_id is not None)
    assert (known.session_id, known.anonymous_id) == (uid(2), uid(3))
    assert (unknown.session_id, unknown.anonymous_id, unknown.user_agent) == (None, None, None)
