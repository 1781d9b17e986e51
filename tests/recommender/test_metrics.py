"""Figures of recommendations, over HTTP, on real servers: whose they are, of which days, and what they add up to."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from ingest.app import Ingest
from recommender import metrics
from recommender.metrics_routes import add_metrics_routes
from schema import db, histogram, sketch
from schema.errors import InvalidRequest
from schema.registry import key_hash, new_key
from schema.settings import Settings
from tests.make import DAY, HOUR, SECOND, T0, asked, canonical, shown, uid
from tests.workers.pipeline import Pipeline, pipeline
from tripstream.app import _answer_invalid, _answer_validation

NOW = datetime(2026, 1, 3, 12, tzinfo=UTC)
STRANGER = "203.0.113.77"
Get = Callable[..., httpx.Response]


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The routes with the errors' own answers, at noon of 2026-01-03."""
    app = Ingest(settings)
    add_metrics_routes(app, settings, lambda: NOW)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(InvalidRequest, _answer_invalid)
    return app


@pytest.fixture
def get(app: FastAPI) -> Get:
    async def ask(path: str, host: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(host, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            return await client.get(path, headers=headers)

    return lambda path, host="127.0.0.1", /, **headers: asyncio.run(ask(path, host, headers))


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    with pipeline(settings) as found:
        yield found


def key_of(pipe: Pipeline, site_id: str, role: str = "read", revoked_at: str | None = None) -> str:
    key = new_key(role)
    insert = "INSERT INTO site_keys (key_hash, site_id, role, revoked_at) VALUES (%s, %s, %s, %s)"
    pipe.connection.execute(insert, (key_hash(key), site_id, role, revoked_at))
    return key


def act(n: int, kind: str, about: int, **fields: Any) -> Any:
    return canonical(n, event_type=kind, recommendation_request_id=uid(5, about), **fields)


@pytest.fixture
def three_days(pipe: Pipeline) -> None:
    """Four requests on the first day of January, one on the second, none since; and what came of them."""
    pipe.ask(
        asked(1, response_time_us=1000),
        asked(2, response_time_us=3000, relaxed_count=3, results=shown(40), session_id=uid(2, 1)),
        asked(3, response_time_us=2000, results=[], session_id=None, filters=[]),
        asked(4, response_time_us=50_000, preferences='{"selected_countries": ["IT", "JP"], "preferred_type_id": 1}'),
        asked(5, response_time_us=400, requested_at=T0 + DAY, preferences='{"selected_continents": ["EU"]}'),
    )
    pipe.send(
        *(act(n, "impression", 1, trip_id=101 + n % 2) for n in range(4)),
        act(10, "click_trip", 1, position=1),
        act(11, "contact_phone", 1),
        act(12, "contact_whatsapp", 2, occurred_at=T0 + DAY + HOUR),
        act(13, "booking_start", 2),
        act(14, "booking_complete", 2),  # of the same booking, which counts once
    )
    pipe.roll_up()


@pytest.mark.usefixtures("three_days")
def test_a_span_adds_up(get: Get) -> None:
    found = get("/api/metrics?days=3").json()
    times = found.pop("responseTimeMs")
    filters = found.pop("filters")
    assert found.pop("asOf") is not None
    assert found == {
        "isMoving": False,
        "siteId": "default",
        "timeZone": "UTC",
        "start": "2026-01-01",
        "end": "2026-01-03",
        "requests": 5,
        "uniqueSessions": 2,
        "averageTopScore": 70.0,
        "relaxedRate": 0.2,
        "noResultRate": 0.2,
        "lowScoreRate": 0.2,
        "impressions": 4,
        "clicks": 1,
        "clickThroughRate": 0.25,
        "positions": [
            {"position": 1, "impressions": 2, "clicks": 1, "clickThroughRate": 0.5},
            {"position": 2, "impressions": 2, "clicks": 0, "clickThroughRate": 0.0},
        ],
        "contacts": 2,
        "bookings": 1,
        "contactsPerRequest": 0.4,
        "bookingsPerRequest": 0.2,
    }
    assert times == {
        "avg": 11.28,
        "p50": pytest.approx(2, rel=0.045),
        "p95": pytest.approx(50, rel=0.045),
        "p99": pytest.approx(50, rel=0.045),
        "max": 50.0,
    }
    assert filters["geography"] == filters["budget"] == {"requests": 4, "rate": 0.8}
    assert {name for name, use in filters.items() if use == {"requests": 0, "rate": 0.0}} == {
        *("type", "themes", "duration", "difficulty", "date")
    }


@pytest.mark.usefixtures("three_days")
def test_days_stand_by_themselves_also_those_on_which_nothing_happened(get: Get) -> None:
    found = get("/api/metrics/daily?start=2025-12-31&end=2026-01-02").json()
    assert (found["start"], found["end"]) == ("2025-12-31", "2026-01-02")
    days = {day["date"]: (day["requests"], day["contacts"], day["clicks"]) for day in found["days"]}
    assert days == {"2025-12-31": (0, 0, 0), "2026-01-01": (4, 1, 1), "2026-01-02": (1, 1, 0)}
    empty = found["days"][0]
    assert {name for name, value in empty.items() if value is None} == {
        *("averageTopScore", "relaxedRate", "noResultRate", "lowScoreRate", "clickThroughRate"),
        *("contactsPerRequest", "bookingsPerRequest"),
    }
    assert empty["responseTimeMs"] == dict.fromkeys(("avg", "p50", "p95", "p99", "max"))


@pytest.mark.usefixtures("three_days")
def test_a_span_may_be_said_by_its_bounds_and_positions_have_rows_of_their_own(get: Get) -> None:
    bounds = "start=2026-01-01&end=2026-01-03"
    whole = get("/api/metrics?days=3").json()
    assert get(f"/api/metrics?{bounds}").json() == whole
    assert get("/api/metrics?start=2026-01-02&end=2026-01-02").json()["requests"] == 1
    assert get(f"/api/metrics/positions?{bounds}").json()["positions"] == whole["positions"]
    assert get(f"/api/metrics/positions?{bounds}&format=csv").text.splitlines() == [
        "position,impressions,clicks,clickThroughRate", "1,2,1,0.5", "2,2,0,0.0"]  # fmt: skip
    found = get("/api/metrics/top-searches?start=2026-01-02&end=2026-01-02").json()
    assert ([one["id"] for one in found["continents"]], found["countries"]) == (["EU"], [])


@pytest.mark.usefixtures("three_days")
def test_what_was_asked_for_most_comes_first_with_its_names(get: Get, pipe: Pipeline) -> None:
    pipe.connection.execute("DELETE FROM trip_types")
    found = get("/api/metrics/top-searches?days=3").json()
    countries = [(one["id"], one["nameEn"], one["requests"]) for one in found["countries"]]
    assert countries == [("IT", "Italy", 4), ("JP", "Japan", 1)]
    assert found["countries"][0]["nameHe"]
    assert [(one["id"], one["requests"]) for one in found["continents"]] == [("EU", 1)]
    assert found["types"] == [{"id": 1, "nameEn": None, "nameHe": None, "requests": 1}]
    assert found["themes"] == []
    assert len(get("/api/metrics/top-searches?days=3&limit=1").json()["countries"]) == 1
    assert get("/api/metrics/top-searches?days=1").json()["countries"] == []


def test_days_are_the_sites_own(get: Get, pipe: Pipeline) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Pacific/Kiritimati'")  # 14 hours ahead
    pipe.ask(asked(1, requested_at=T0 + 2 * DAY + 10 * HOUR - SECOND), asked(2, requested_at=T0 + 2 * DAY + 10 * HOUR))
    pipe.roll_up()
    found = get("/api/metrics?days=1").json()
    assert (found["start"], found["end"], found["timeZone"]) == ("2026-01-04", "2026-01-04", "Pacific/Kiritimati")
    assert found["requests"] == 1
    assert [day["requests"] for day in get("/api/metrics/daily").json()["days"]] == [0, 0, 0, 0, 0, 1, 1]


def test_a_key_decides_whose_figures_are_read(get: Get, pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('shop', '')")
    pipe.ask(asked(1, site_id="shop"), asked(2), asked(3))
    pipe.roll_up()
    key = key_of(pipe, "shop")
    for headers in ({"authorization": f"Bearer {key}"}, {"x-read-key": key}, {"apikey": key}):
        for host in (STRANGER, "127.0.0.1"):
            found = get("/api/metrics", host, **headers).json()
            assert (found["siteId"], found["requests"]) == ("shop", 1)
    assert get("/api/metrics").json()["requests"] == 2


@pytest.mark.parametrize("path", ["/api/metrics", "/api/metrics/daily", "/api/metrics/top-searches"])
def test_without_a_right_to_them_figures_stay_closed(get: Get, pipe: Pipeline, path: str) -> None:
    refused: list[tuple[str, dict[str, str]]] = [
        (STRANGER, {}),
        ("127.0.0.1", {"x-forwarded-for": STRANGER}),
        ("127.0.0.1", {"host": "rebound.example"}),
        ("127.0.0.1", {"host": "localhost.example:8000"}),
        ("127.0.0.1", {"host": ""}),
        ("127.0.0.1", {"authorization": "Bearer "}),
        ("127.0.0.1", {"x-read-key": "ts_read_" + "A" * 43}),
        ("127.0.0.1", {"x-read-key": key_of(pipe, "default", revoked_at="2026-01-01")}),
    ]
    for host, headers in refused:
        answer = get(path, host, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), headers
    answer = get(path, "127.0.0.1", **{"x-read-key": key_of(pipe, "default", "write")})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    for name in ("localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"):
        assert get(path, host=name).status_code == 200


WRONG = {
    "/api/metrics?days=0": "days",
    "/api/metrics?days=91": "days",
    "/api/metrics?days=x": "days",
    "/api/metrics?days=3&start=2026-01-01": "days",
    "/api/metrics/positions?start=2026-01-02&end=2026-01-01": "start",
    "/api/metrics/top-searches?limit=0": "limit",
    "/api/metrics/daily?start=yesterday": "start",
    "/api/metrics/daily?end=2026-02-30": "end",
    "/api/metrics/daily?end=0": "end",
    "/api/metrics/daily?start=2026-01-02&end=2026-01-01": "start",
    "/api/metrics/daily?start=2026-01-01&end=2026-04-01": "start",
    "/api/metrics/daily?start=9999-12-31": "start",
    "/api/metrics/daily?end=0001-01-01": "end",
}


def test_a_wrong_parameter_is_named(get: Get) -> None:
    for path, name in WRONG.items():
        answer = get(path)
        assert answer.status_code == 422, path
        found = answer.json()
        assert (found["code"], [one["field"] for one in found["fields"]]) == ("invalid_request", [name]), path
        assert found["message"].startswith(f"{name}: ")
    assert len(get("/api/metrics/daily?start=2026-01-01&end=2026-03-31").json()["days"]) == 90


def row(times: list[int], sessions: list[str]) -> dict[str, Any]:
    buckets = [(bisect_right(histogram.EDGES, time), 1) for time in times]
    figures = {
        "requests": len(times),
        "sessions": sketch.of(sessions),
        "used": {},
        "by_position": [],
        "response_us_sum": sum(times),
        "response_us_max": max(times),
        "response_us_histogram": histogram.of(buckets),
    }
    return dict.fromkeys(metrics._SUMS, 0) | figures


def test_percentiles_and_sessions_of_a_span_are_of_all_its_values_and_no_mean_of_days() -> None:
    quiet = row([1000] * 10, ["a", "b"])
    busy = row([80_000] * 990, ["b", "c"])
    found = metrics.figures([quiet, busy])
    assert found.response_time_ms.p50 == pytest.approx(80, rel=0.045)
    assert found.unique_sessions == 3


def test_the_reader_role_is_enough_for_every_figure(settings: Settings) -> None:
    with db.reading(settings, db.Scope("default")) as connection:
        span = metrics.last_days(connection, "default", 7, NOW)
        assert metrics.summary(connection, span).requests == 0
        assert len(metrics.daily(connection, span).days) == 7
        assert metrics.top_searches(connection, span, 5).countries == []
