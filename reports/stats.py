"""Views, users and paths of a site: of one day in its own time zone, or of all time. In: Postgres. Out: figures.

What is rolled up and not dirty is taken from the daily rows; the rest is read from events, so that an event counts as
soon as it is stored. Bots count nowhere. Distinct users of rolled-up days are estimated, from some hundreds on (1.6 %).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel

from schema import sketch
from schema.db import Connection
from schema.errors import NotFound
from schema.sql import load

PATHS_MAX = 10
_SQL = load("stats")


class PathViews(BaseModel):
    """How often a path was viewed."""

    path: str
    views: int


class Stats(BaseModel):
    """`total_views` are page views, `unique_users` whoever sent any event; all who are anonymous are one."""

    site_id: str
    date: date | None
    total_views: int
    unique_users: int
    top_paths: list[PathViews]


def stats(connection: Connection, site_id: str, day: date | None) -> Stats:
    """One site's figures, in a transaction that sees one moment. Raises NotFound."""
    asked: dict[str, Any] = {"site_id": site_id, "date": day, "limit": PATHS_MAX}
    zone = connection.execute(_SQL["zone"], asked).fetchone()
    if zone is None:
        raise NotFound(f"There is no site {site_id}.")
    asked["zone"] = zone[0]
    rolled_up = connection.execute(_SQL["rolled_up"], asked).fetchall()
    waiting = connection.execute(_SQL["waiting"], asked).fetchall()
    paths = connection.execute(_SQL["top_paths"], asked).fetchall()
    return Stats(
        site_id=site_id,
        date=day,
        total_views=sum(views for views, _ in [*rolled_up, *waiting]),
        unique_users=_distinct([one for _, one in rolled_up], [keys for _, keys in waiting]),
        top_paths=[PathViews(path=path, views=views) for path, views in paths],
    )


def _distinct(sketches: list[bytes], keys: list[list[str]]) -> int:
    """Visitors of all of them together; exactly, where there is no sketch."""
    if not sketches:
        return len({key for of_a_day in keys for key in of_a_day})
    return round(sketch.estimate(sketch.merge([*sketches, *(sketch.of(of_a_day) for of_a_day in keys)])))
