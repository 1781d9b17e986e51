"""Every figure, from events through the drain and the rollup to HTTP, against what the events say by themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
import redis

from tests.conftest import Servers
from tests.make import HOUR, MINUTE, T0, canonical
from tests.reports.asking import ROUTES, STRANGER, Get, asking, key_of
from tests.reports.visits import visit_twice
from tests.workers.pipeline import Pipeline, pipeline
from tripstream.embedded_postgres import DATABASE

NEW_YEAR = "start=2026-01-01&end=2026-01-01"


class Visited(NamedTuple):
    """A site that had visitors, for tests that only ask."""

    pipe: Pipeline
    get: Get


@pytest.fixture(scope="module")
def visited(servers: Servers) -> Iterator[Visited]:
    """Three sessions of two visitors on two days, and a robot."""
    settings = servers.settings("visited")
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE visited TEMPLATE {DATABASE}")
        with pipeline(settings) as pipe:
            visit_twice(pipe)
            yield Visited(pipe, asking(settings))
        connection.execute("DROP DATABASE visited WITH (FORCE)")


def rows(get: Get, question: str) -> list[dict[str, Any]]:
    found = get(f"/api/stats/{question}")
    assert found.status_code == 200, found.text
    return found.json()["rows"]


def test_a_site_at_a_glance(visited: Visited) -> None:
    shown = visited.get("/api/stats/overview?start=2026-01-02&end=2026-01-02").json()
    current, previous = shown["current"], shown["previous"]
    assert (current["visitors"], current["sessions"], current["events"], current["pageViews"]) == (1, 1, 2, 2)
    assert {name: previous[name] for name in ("visitors", "sessions", "events", "pageViews", "bounces")} == {
        "visitors": 2, "sessions": 2, "events": 10, "pageViews": 3, "bounces": 1}  # fmt: skip
    counted = ("searches", "impressions", "clicks", "saves", "contacts", "bookingStarts", "bookings")
    assert [previous[name] for name in counted] == [0, 2, 2, 1, 1, 0, 0]
    assert (previous["bounceRate"], previous["pageViewsPerSession"], previous["eventsPerSession"]) == (0.5, 1.5, 5)
    assert previous["seconds"]["average"] == 29.5
    assert previous["seconds"]["p95"] == pytest.approx(59, rel=0.05)
    assert (shown["change"]["visitors"], shown["change"]["clicks"], shown["change"]["searches"]) == (-0.5, -1, None)
    assert shown["asOf"] is not None and shown["isMoving"] is False


def test_series_by_day_week_and_month_have_every_bucket_and_clip_what_the_span_cuts(visited: Visited) -> None:
    days = rows(visited.get, "series?start=2025-12-31&end=2026-01-02")
    assert [(one["date"], one["events"], one["sessions"], one["visitors"]) for one in days] == [
        ("2025-12-31", 0, 0, 0), ("2026-01-01", 10, 2, 2), ("2026-01-02", 2, 1, 1)]  # fmt: skip
    assert {(one["type"], one["at"], one["hour"]) for one in days} == {(None, None, None)}
    weeks = rows(visited.get, "series?start=2025-12-31&end=2026-01-12&interval=week&type=page_view,click")
    assert [(one["date"], one["type"], one["events"], one["visitors"]) for one in weeks] == [
        ("2025-12-31", "page_view", 5, 2), ("2025-12-31", "click", 1, 1),
        ("2026-01-05", "page_view", 0, 0), ("2026-01-05", "click", 0, 0),
        ("2026-01-12", "page_view", 0, 0), ("2026-01-12", "click", 0, 0)]  # fmt: skip
    months = rows(visited.get, "series?start=2025-12-02&end=2026-01-01&interval=month&type=page_view")
    assert [(one["date"], one["events"]) for one in months] == [("2025-12-02", 0), ("2026-01-01", 3)]


def test_series_by_hour_begin_with_the_sites_day(visited: Visited) -> None:
    hours = rows(visited.get, "series?start=2026-01-02&end=2026-01-02&interval=hour")
    assert [(one["at"], one["hour"]) for one in (hours[0], hours[23])] == [
        ("2026-01-02T00:00:00Z", "00:00"), ("2026-01-02T23:00:00Z", "23:00")]  # fmt: skip
    assert len(hours) == 24
    assert [one["events"] for one in hours] == [0, 0, 0, 2, *[0] * 20]
    assert (hours[3]["visitors"], hours[3]["sessions"]) == (1, None)
    (three,) = [
        one for one in rows(visited.get, "series?start=2026-01-02&days=1&interval=hour&type=page_view") if one["events"]
    ]
    assert (three["hour"], three["sessions"], three["type"]) == ("03:00", 1, "page_view")


def test_days_and_hours_are_those_of_the_sites_zone(pipe: Pipeline, get: Get) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Asia/Kolkata'")
    pipe.send(canonical(1, occurred_at=T0 - 5 * HOUR - 20 * MINUTE))  # ten past midnight of the new year there
    pipe.roll_up()
    assert [one["events"] for one in rows(get, "series?start=2025-12-31&end=2026-01-01")] == [0, 1]
    hours = rows(get, f"series?{NEW_YEAR}&interval=hour")
    assert (len(hours), hours[0]["at"], hours[0]["hour"], hours[0]["date"], hours[0]["events"]) == (
        25, "2025-12-31T18:00:00Z", "23:30", "2025-12-31", 1)  # fmt: skip
    pipe.connection.execute("UPDATE sites SET time_zone = 'Europe/Berlin'")


def test_hours_are_named_by_the_zone_that_the_site_had_then(pipe: Pipeline, get: Get) -> None:
    change = ("2026-01-02", "2026-01-02 00:00+00")
    pipe.connection.execute("UPDATE site_zones SET until = %s, ends = %s", change)
    pipe.connection.execute(
        "INSERT INTO site_zones (site_id, since, starts, time_zone) VALUES ('default', %s, %s, 'Asia/Dubai')", change
    )
    hours = rows(get, "series?start=2026-01-01&end=2026-01-02&interval=hour")
    assert [(one["date"], one["hour"]) for one in hours[22:26]] == [
        ("2026-01-01", "22:00"), ("2026-01-01", "23:00"), ("2026-01-02", "04:00"), ("2026-01-02", "05:00")]  # fmt: skip
    assert len(hours) == 44


def test_totals_of_types_and_visitors_of_any_days(visited: Visited) -> None:
    found = rows(visited.get, "types?start=2026-01-01&end=2026-01-02")
    assert found[0] == {"type": "page_view", "events": 5, "sessions": 3, "visitors": 2}
    assert sum(one["events"] for one in found) == 12
    assert [one["type"] for one in rows(visited.get, "types?type=click&type=click_trip&days=30")] == [
        "click",
        "click_trip",
    ]
    shown = visited.get("/api/stats/visitors?start=2026-01-01&end=2026-01-02").json()
    assert (shown["visitors"], shown["low"], shown["high"], shown["types"]) == (2, 2, 2, None)
    clicked = visited.get("/api/stats/visitors?start=2026-01-01&type=click").json()
    assert (clicked["visitors"], clicked["types"]) == (1, ["click"])
    assert visited.get("/api/stats/visitors?start=2025-01-01&days=3").json()["visitors"] == 0


@pytest.mark.parametrize("start", range(25, 32))
def test_totals_are_those_of_the_days_whether_or_not_whole_weeks_lie_in_the_span(visited: Visited, start: int) -> None:
    for days in range(1, 16):
        span = f"type=page_view&start=2025-12-{start}&days={days}"
        each = rows(visited.get, f"series?{span}")
        counted = [(one["events"], one["sessions"]) for one in rows(visited.get, f"types?{span}")]
        events = sum(day["events"] for day in each)
        assert counted == ([(events, sum(day["sessions"] for day in each))] if events else []), span
        seen = visited.get(f"/api/stats/visitors?{span}").json()["visitors"]
        assert seen == (2 if events else 0), span


def test_sessions_of_the_span_and_of_each_of_its_weeks(visited: Visited) -> None:
    shown = visited.get("/api/stats/sessions?start=2025-12-28&end=2026-01-05&interval=week").json()
    assert (shown["total"]["sessions"], shown["total"]["bounces"]) == (3, 1)
    assert [(one["date"], one["sessions"], one["bounceRate"]) for one in shown["rows"]] == [
        ("2025-12-28", 0, None), ("2025-12-29", 3, 0.333333), ("2026-01-05", 0, None)]  # fmt: skip
    days = csv.DictReader(io.StringIO(visited.get("/api/stats/sessions?start=2026-01-01&days=2&format=csv").text))
    assert [(one["date"], one["sessions"], one["seconds.average"]) for one in days] == [
        ("2026-01-01", "2", "29.5"), ("2026-01-02", "1", "10.0")]  # fmt: skip


def test_what_there_was_most_of(visited: Visited) -> None:
    def top(by: str, figure: str, more: str = "") -> list[tuple[str, int]]:
        return [(one["value"], one[figure]) for one in rows(visited.get, f"top?by={by}{more}")]

    assert top("path", "pageViews") == [("/a", 3), ("/=1+1", 1), ("/b", 1)]
    assert top("path", "events", "&sort=events&order=asc&limit=2&offset=1") == [("/a", 3), ("/b", 5)]
    assert top("entry_path", "sessions") == [("/a", 3)]
    assert top("exit_path", "sessions") == [("/=1+1", 1), ("/a", 1), ("/b", 1)]
    assert top("referrer", "sessions") == [("search.example", 1)]
    assert top("utm_campaign", "pageViews") == [("spring", 1)]
    assert [name for name, _ in top("os", "events")] == ["iOS"]
    assert top("target", "clicks") == [("book", 1)]
    assert rows(visited.get, "top?by=target")[0] == {
        "value": "book", "category": "button", "events": None, "pageViews": None, "sessions": None, "clicks": 1,
    }  # fmt: skip
    assert top("page", "pageViews") == [("profile", 2)]
    assert top("page", "pageViews", "&share=s1") == [("profile", 1)]
    assert top("share", "pageViews", "&owner=ann") == [("s1", 1), ("s2", 1)]
    assert top("share", "pageViews", "&owner=bob") == []
    assert visited.get("/api/stats/top?by=path&limit=1").json()["total"] == 3


def test_a_page_of_a_list_says_how_much_there_is_as_csv_too_and_its_cells_are_safe(pipe: Pipeline, get: Get) -> None:
    pipe.send(canonical(1, path="=HYPERLINK(1)"), canonical(2, path="/a"), canonical(3, path="/a"))
    pipe.roll_up()
    found = get("/api/stats/top?by=path&limit=1&format=csv")
    assert (found.headers["x-total"], found.headers["x-is-moving"]) == ("2", "false")
    assert [one["value"] for one in csv.DictReader(io.StringIO(found.text))] == ["/a"]
    more = get("/api/stats/top?by=path&limit=1&offset=1&format=csv")
    assert [one["value"] for one in csv.DictReader(io.StringIO(more.text))] == ["'=HYPERLINK(1)"]
    empty = get("/api/stats/top?by=country&format=csv")
    assert empty.text == "value,category,events,pageViews,sessions,clicks\r\n"


def test_trips_by_any_of_their_figures(visited: Visited) -> None:
    seven, eight = rows(visited.get, "trips?sort=clicks")
    assert seven == {
        "tripId": 7, "titleEn": None, "titleHe": None, "startsOn": None, "impressions": 1, "clicks": 1, "ctr": 1.0,
        "saves": 1, "saveRate": 1.0, "whatsappContacts": 1, "phoneContacts": 0, "contactRate": 1.0,
        "bookingStarts": 0, "dwell": 12.5,
    }  # fmt: skip
    assert (eight["tripId"], eight["ctr"], eight["saveRate"], eight["dwell"]) == (8, 0.0, None, None)
    for sort in (
        "impressions",
        "clicks",
        "ctr",
        "saves",
        "saveRate",
        "contacts",
        "contactRate",
        "bookingStarts",
        "dwell",
    ):
        assert [one["tripId"] for one in rows(visited.get, f"trips?sort={sort}")] == [7, 8], sort
    assert [one["tripId"] for one in rows(visited.get, "trips?sort=ctr&order=asc")] == [8, 7]
    assert [one["tripId"] for one in rows(visited.get, "trips?sort=saveRate&order=asc")] == [7, 8]
    assert rows(visited.get, "trips?impressions=2") == []
    assert [one["tripId"] for one in rows(visited.get, "trips?limit=1&offset=1")] == [8]


def test_owners_and_their_share_codes(visited: Visited) -> None:
    assert rows(visited.get, "owners") == [
        {"ownerCode": "ann", "sessions": 2, "pageViews": 2, "clicks": 1, "shareCodes": ["s1", "s2"]}]  # fmt: skip
    assert rows(visited.get, "owners?owner=bob") == []
    assert [(one["shareCode"], one["clicks"]) for one in rows(visited.get, "groups?sort=clicks")] == [
        ("s1", 1),
        ("s2", 0),
    ]
    assert [one["shareCode"] for one in rows(visited.get, "groups?owner=ann&share=s2")] == ["s2"]
    text = visited.get("/api/stats/owners?format=csv").text
    assert text.splitlines() == ["ownerCode,sessions,pageViews,clicks,shareCodes", 'ann,2,2,1,"[""s1"",""s2""]"']


WRONG = {
    "top": "by",
    "top?by=colour": "by",
    "top?by=path&sort=clicks": "sort",
    "top?by=target&sort=events": "sort",
    "top?by=path&owner=ann": "owner",
    "top?by=referrer&share=s1": "share",
    "top?by=path&limit=0": "limit",
    "top?by=path&limit=10001": "limit",
    "top?by=path&offset=-1": "offset",
    "top?by=path&order=up": "order",
    "top?by=share&owner=": "owner",
    "series?interval=year": "interval",
    "series?interval=hour&days=32": "interval",
    "series?type=pageview": "type",
    "series?type=": "type.0",
    "types?type=nonsense": "type",
    "visitors?type=nonsense": "type",
    "visitors?interval=day": "interval",
    "sessions?interval=hour": "interval",
    "trips?sort=price": "sort",
    "trips?impressions=-1": "impressions",
    "owners?share=s1": "share",
    "owners?sort=events": "sort",
    "groups?owner=" + "x" * 201: "owner",
}


def test_a_wrong_parameter_is_named(get: Get) -> None:
    for question, field in WRONG.items():
        found = get(f"/api/stats/{question}")
        assert found.status_code == 422, question
        assert [one["field"] for one in found.json()["fields"]] == [field], question


def test_every_route_answers_an_empty_site_and_another_sites_key_sees_nothing_of_this_one(visited: Visited) -> None:
    get, key = visited.get, key_of(visited.pipe, "shop")
    for route in ROUTES:
        empty = get(f"/api/stats/{route}", STRANGER, authorization=f"Bearer {key}")
        assert (empty.status_code, empty.json()["siteId"]) == (200, "shop"), empty.text
        text = empty.text.replace(" ", "")
        assert '"ann"' not in text and '"/a"' not in text and '"events":1' not in text, route
        assert {one["events"] for one in empty.json().get("rows", []) if "events" in one} <= {0}, route
        assert get(f"/api/stats/{route}", STRANGER).status_code == 401, route
        again = get(
            f"/api/stats/{route}", STRANGER, authorization=f"Bearer {key}", **{"if-none-match": empty.headers["etag"]}
        )
        assert again.status_code == 304, route
        assert get(f"/api/stats/{route}", accept="text/csv").headers["content-type"].startswith("text/csv"), route
