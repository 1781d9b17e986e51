"""No question about figures reads events: not in its plan, not in a function that the plan calls, and without the right
to. Each finds its rows by an index, in a database of many sites.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from schema import db
from schema.sql import load
from tests.reports.asking import ROUTES, Get
from tests.reports.visits import visit_twice
from tests.workers.pipeline import Pipeline

PATHS = (
    *(f"/api/stats/{route}" for route in ROUTES),
    *("/get-stats?site_id=default", "/get-stats?site_id=default&date=2026-01-01"),
    "/api/stats/trips?days=2",
    "/api/stats/funnel?steps=page_view,click_trip",
    *("/api/metrics", "/api/metrics/daily", "/api/metrics/top-searches", "/api/metrics/positions"),
)
RAW = ("events", "sessions", "users", "identities", "recommendation_requests", "readable_events", "readable_sessions")
TABLES = (
    *("daily_stats", "daily_events", "weekly_events", "daily_sessions", "daily_trips", "daily_dimensions"),
    *("month_to_date_trips", "weekly_dimensions"),
    *("daily_user_stats", "daily_group_stats", "daily_click_targets", "daily_page_stats", "daily_walks"),
    *("daily_steps", "rollup_hourly", "hourly_stats"),
)
SITES, COPIES = 40, 20
Asked = dict[str, Any]


def fill(pipe: Pipeline) -> None:
    """The two days of one site once more, for many sites and the days before."""
    visit_twice(pipe)
    copies = (
        "INSERT INTO {0} SELECT (jsonb_populate_record(t, jsonb_build_object('site_id', 's' || site,"
        " {1}, {2} - 2 * copy * {3}))).* FROM {0} AS t, generate_series(1, %s) AS site, generate_series(1, %s) AS copy"
    )
    for table in TABLES:
        when, step = ("hour", sql.SQL("interval '1 day'")) if "hour" in table else ("date", sql.Literal(1))
        query = sql.SQL(copies).format(sql.Identifier(table), sql.Literal(when), sql.Identifier(when), step)
        pipe.connection.execute(query, (SITES, COPIES))
    with db.connect(pipe.settings, "owner") as owner:
        owner.execute("ANALYZE")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Asked]]:
    """Every statement with named parameters that is executed from now on."""
    found: list[tuple[str, Asked]] = []
    execute = psycopg.Cursor.execute

    def recorded(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if isinstance(params, dict):
            found.append((query, params))
        return execute(self, query, params, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", recorded)
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def test_no_plan_reads_events_and_each_finds_its_rows_by_an_index(
    pipe: Pipeline, get: Get, executed: list[tuple[str, Asked]]
) -> None:
    fill(pipe)
    executed.clear()
    for path in PATHS:
        assert get(path).status_code == 200, path
    queries = dict(executed)
    for consumer in ("spans", "figures", "top", "stats"):
        unasked = [name for name, query in load(consumer).items() if query not in queries]
        assert set(unasked) <= {"unknown_types"}, f"{consumer}: no path of PATHS asks these"
    for query, asked in queries.items():
        ((explained,),) = pipe.connection.execute(f"EXPLAIN (FORMAT JSON) {query}", asked).fetchall()
        read = {
            (node["Node Type"], node["Relation Name"])
            for node in nodes(explained[0]["Plan"])
            if "Relation Name" in node
        }
        assert not {
            table for _, table in read if table.startswith(("events", "recommendation_requests")) or table in RAW
        }
        assert not {table for how, table in read if how == "Seq Scan"} & set(TABLES), query


def test_whoever_may_not_read_events_is_answered_all_the_same(pipe: Pipeline, get: Get) -> None:
    visit_twice(pipe)
    with db.connect(pipe.settings, "owner") as owner:
        names = sql.SQL(", ").join(map(sql.Identifier, RAW))
        owner.execute(sql.SQL("REVOKE SELECT ON {} FROM tripstream_reader").format(names))
    with db.reading(pipe.settings, db.Scope("default")) as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("SELECT FROM events LIMIT 1")
    for path in PATHS:
        assert get(path).status_code == 200, path
