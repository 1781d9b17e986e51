"""Moving at its limits: identities that are heavy, that fail, or that half a town shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from reports import status
from tests.make import uid
from tests.workers.people import arrive, owners, said, sent, split
from tests.workers.pipeline import Pipeline
from workers import mover


def test_what_cannot_be_moved_stops_nobody_else_and_is_reported(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('zzz', '')")
    pipe.connection.execute(
        "INSERT INTO identities (site_id, kind, value, user_id) VALUES ('default', 'anonymous', 'x', 1)"
    )
    pipe.connection.execute("INSERT INTO dirty_identities (site_id, kind, value) VALUES ('default', 'anonymous', 'x')")
    arrive(pipe, *(sent(said(n, n % 20)) for n in range(20)), move=False)
    arrive(pipe, *(sent(said(20 + n, n % 20, f"u{n}")) for n in range(20)), move=False)
    arrive(pipe, sent(said(1, 1), site_id="zzz"), sent(said(2, 1, "ann"), site_id="zzz"), move=False)
    for _ in range(2):
        with pytest.raises(psycopg.DataError):
            mover.run_once(pipe.connection)
        assert owners(pipe) == split(*([n, 20 + n] for n in range(20)))
        assert owners(pipe, "zzz") == split([1, 2])
        assert [(one["value"], "uuid" in one["error"]) for one in status.unmoved(pipe.connection)] == [("x", True)]
        assert status.marked(pipe.connection) == (1, 1)
    pipe.connection.execute("DELETE FROM identities WHERE value = 'x'")
    assert mover.run_once(pipe.connection) == 0
    assert status.marked(pipe.connection) == (0, 0)


def test_a_heavy_identity_is_moved_in_steps(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "_EVENTS_MAX", 3)
    arrive(pipe, *(sent(said(n, 1)) for n in range(10)), sent(said(10, 1, "ann")), move=False)
    moved: list[int] = []
    once = mover._round

    def counted(*of: Any) -> int:
        moved.append(once(*of))
        return moved[-1]

    monkeypatch.setattr(mover, "_round", counted)
    assert mover.run_once(pipe.connection) == 10
    assert max(moved) == 3
    assert owners(pipe) == split(range(11))
    assert pipe.problems() == []


def test_an_event_is_read_once_however_many_people_share_its_browser(pipe: Pipeline) -> None:
    people = 150
    arrive(pipe, sent(said(0, 1)))
    pipe.send(*(said(n, 1, None if n % 2 else f"u{n}") for n in range(1, 2 * people)))
    mover.run_once(pipe.connection)
    values: dict[str, Any] = {"site_id": "default", "values": [str(uid(3, 1))], "most": 1000}
    with pipe.connection.transaction():
        pipe.connection.execute(mover._SQL["by_index"])
        pipe.connection.execute(mover._SQL["fill_spans"], values)
        pairs = pipe.connection.execute(mover._SQL["visitor_users"], values).fetchall()
        values |= {"users": [user_id for _, user_id in pairs]}
        for name, more in (("visitor_users", {}), ("move_visitors", {"values": values["values"] * len(pairs)})):
            query = "EXPLAIN (ANALYZE, FORMAT JSON) " + mover._SQL[name]
            plan = pipe.connection.execute(query, values | more).fetchall()[0][0][0]["Plan"]
            assert max(rows_of(plan)) < people**2 / 4  # each event with each of them would be twice their square


def rows_of(plan: dict[str, Any]) -> Iterator[float]:
    """How many rows each step of a plan looked at."""
    left_out = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    yield (plan["Actual Rows"] + left_out) * plan["Actual Loops"]
    for step in plan.get("Plans", ()):
        yield from rows_of(step)
