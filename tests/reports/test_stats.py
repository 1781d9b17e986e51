"""GET /get-stats: whose figures, of which day, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from reports.stats import stats
from schema import db
from schema.errors import NotFound
from schema.registry import key_hash, new_key
from schema.settings import Settings
from tests.make import DAY, HOUR, T0, canonical
from tests.workers.pipeline import ROBOT, Pipeline
from tripstream import app as front

Get = Callable[..., httpx.Response]


@pytest.fixture
def get(settings: Settings) -> Get:
    app = front.create(settings)

    async def ask(host: str, headers: dict[str, str], query: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(host, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            return await client.get("/get-stats", params=query, headers=headers)

    return lambda host="127.0.0.1", headers=None, **query: asyncio.run(ask(host, headers or {}, query))


def view(pipe: Pipeline, n: int, path: str, user: str = "anonymous", at: int = T0, **more: Any) -> None:
    """One event as /ingest-event queues it, in a batch of its own."""
    shared = {name: more.pop(name) for name in ("site_id", "user_agent") if name in more}
    event = canonical(n, path=path, claimed_user=user, anonymous_id=None, session_id=None, occurred_at=at, **more)
    pipe.send(event, received_at=max(at, T0), **shared)


def traffic(pipe: Pipeline) -> None:
    for n, (path, user) in enumerate([("/a", "anonymous"), ("/a", "anonymous"), ("/b", "ann"), ("/c", "bob")]):
        view(pipe, n, path, user)
    view(pipe, 10, "/a", "ann", at=T0 + DAY)
    view(pipe, 11, "/a", "eve", event_type="click")
    view(pipe, 12, "/a", "robot", user_agent=ROBOT)


def of_new_year(total: int, unique: int, *paths: tuple[str, int], day: str | None = "2026-01-01") -> dict[str, Any]:
    top = [{"path": path, "views": views} for path, views in paths]
    return {"site_id": "default", "date": day, "total_views": total, "unique_users": unique, "top_paths": top}


def figures(answer: httpx.Response) -> dict[str, Any]:
    """What was answered, without its freshness."""
    return {name: value for name, value in answer.json().items() if name not in ("as_of", "is_moving")}


def test_a_day_and_all_time_are_as_of_the_last_rollup(pipe: Pipeline, get: Get) -> None:
    empty = get(site_id="default").json()
    assert (empty["as_of"], empty["is_moving"]) == (None, True)
    assert figures(get(site_id="default")) == of_new_year(0, 0, day=None)
    traffic(pipe)
    assert figures(get(site_id="default", date="2026-01-01")) == of_new_year(0, 0)
    pipe.roll_up()
    one_day = of_new_year(4, 4, ("/a", 2), ("/b", 1), ("/c", 1))
    all_time = of_new_year(5, 4, ("/a", 3), ("/b", 1), ("/c", 1), day=None)
    assert figures(get(site_id="default", date="2025-06-01")) == of_new_year(0, 0, day="2025-06-01")
    assert figures(get(site_id="default", date="2026-01-01")) == one_day
    assert figures(get(site_id="default")) == all_time
    view(pipe, 20, "/b", "new", at=T0 + DAY)
    waiting = get(site_id="default", date="2026-01-02")
    assert (waiting.json()["total_views"], waiting.json()["is_moving"]) == (1, True)
    pipe.roll_up()
    assert get(site_id="default", date="2026-01-02").json()["is_moving"] is False
    assert figures(get(site_id="default", date="2026-01-01")) == one_day
    assert figures(get(site_id="default")) == of_new_year(6, 5, ("/a", 3), ("/b", 2), ("/c", 1), day=None)
    assert pipe.problems() == []


def test_they_come_as_csv_and_not_twice(pipe: Pipeline, get: Get) -> None:
    traffic(pipe)
    pipe.roll_up()
    found = get(site_id="default", date="2026-01-01", format="csv")
    assert found.text == "path,views\r\n/a,2\r\n/b,1\r\n/c,1\r\n"
    tag = get(site_id="default").headers["etag"]
    assert get(site_id="default", headers={"if-none-match": tag}).status_code == 304


def test_a_day_is_the_sites_own(pipe: Pipeline, get: Get) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Asia/Jerusalem'")
    view(pipe, 1, "/late", at=T0 - HOUR)  # one o'clock of the new year there
    view(pipe, 2, "/early", at=T0 - 3 * HOUR)
    pipe.roll_up()
    assert figures(get(site_id="default", date="2026-01-01")) == of_new_year(1, 1, ("/late", 1))
    pipe.connection.execute("UPDATE sites SET time_zone = 'UTC'")


def test_ten_paths_are_shown_the_most_viewed_first(pipe: Pipeline, get: Get) -> None:
    for n in range(12):
        view(pipe, n, f"/{n:02}")
    view(pipe, 12, "/11")
    pipe.roll_up()
    shown = [one["path"] for one in get(site_id="default").json()["top_paths"]]
    assert shown == ["/11", *(f"/{n:02}" for n in range(9))]


def test_a_parameter_that_is_wrong_is_refused_by_name(get: Get) -> None:
    days = ("9999-12-31", "2026-02-30", "tomorrow", "20260101", "", "1767225600", "2026-01-01T00:00:00")
    for field, query in [*(("date", {"site_id": "default", "date": day}) for day in days), ("site_id", {}),
                         ("site_id", {"site_id": ""})]:  # fmt: skip
        answer = get(**query)
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, field), query


def test_a_read_key_reads_its_own_site_and_no_other(pipe: Pipeline, get: Get) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('shop', '')")
    keys = {role: new_key(role) for role in ("read", "write")}
    for role, key in keys.items():
        pipe.connection.execute("INSERT INTO site_keys VALUES (%s, 'shop', %s)", (key_hash(key), role))
    view(pipe, 1, "/shop", site_id="shop")
    pipe.roll_up()
    reading = {"authorization": f"Bearer {keys['read']}"}
    far = "203.0.113.7"
    assert get(far, reading, site_id="shop").json()["top_paths"] == [{"path": "/shop", "views": 1}]
    assert get(far, reading, site_id="default").status_code == 404
    assert get(far, {"authorization": f"Bearer {keys['write']}"}, site_id="shop").status_code in (401, 403)
    assert get(far, site_id="default").status_code == 401
    assert get(site_id="shop").status_code == get(site_id="nowhere").status_code == 404
    with db.reading(pipe.settings, db.Scope("default")) as reader, pytest.raises(NotFound):
        stats(reader, "gone", None, datetime.now(UTC))
