"""Views, users and paths of a site: of one day in its own time zone, or of all time. In: daily tables. Out: figures.

They are as of the last rollup, which each minute brings, and POST /process-events at once. Bots count nowhere.
Users of a day are counted, those of all time estimated (1.6 %).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from pydantic import BaseModel

from schema import sketch, spans
from schema.answers import Fresh
from schema.db import Connection
from schema.sql import load

PATHS_MAX = 10
_SQL = load("stats")


class PathViews(BaseModel):
    """How often a path was viewed."""

    path: str
    views: int


class Stats(Fresh):
    """`total_views` are page views, `unique_users` whoever sent any event; all who are anonymous are one. As CSV: the
    paths."""

    tables: ClassVar[tuple[str, ...]] = ("top_paths",)

    site_id: str
    date: date | None
    total_views: int
    unique_users: int
    top_paths: list[PathViews]


def stats(connection: Connection, site_id: str, day: date | None, at: datetime) -> Stats:
    """One site's figures, all as of one moment. Raises NotFound, InvalidRequest."""
    spans.refuse_far("date", day)
    site = spans.site(connection, site_id, at)
    span = spans.between(connection, site_id, site, day or spans.FIRST, day or site.today)
    asked: dict[str, Any] = {"site_id": site_id, "date": day, "limit": PATHS_MAX}
    views, users = _of_day(connection, asked) if day else _of_all_time(connection, asked)
    paths = connection.execute(_SQL["top_paths"], asked).fetchall()
    return Stats(
        as_of=span.as_of,
        is_moving=span.is_moving,
        site_id=site_id,
        date=day,
        total_views=views,
        unique_users=users,
        top_paths=[PathViews(path=path, views=seen) for path, seen in paths],
    )


def _of_day(connection: Connection, asked: dict[str, Any]) -> tuple[int, int]:
    found = connection.execute(_SQL["day"], asked).fetchone()
    return (found[0], found[1]) if found else (0, 0)


def _of_all_time(connection: Connection, asked: dict[str, Any]) -> tuple[int, int]:
    days = connection.execute(_SQL["all_time"], asked, binary=True).fetchall()
    users = sketch.bounds([visitors for _, visitors in days])[1] if days else 0
    return sum(views for views, _ in days), round(users)
