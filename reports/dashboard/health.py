"""`/dashboard/health`: is all well, and what is to be done. In: who looks. Out: a site's books and freshness; and, for
whoever may see the whole installation, its queue, its alarms and what the doctor found. What is away is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from redis.exceptions import RedisError

from reports import alarms, conservation
from reports.conservation import Books
from reports.dashboard.operating import Finding, Operating
from reports.dashboard.viewers import Viewer
from schema import db, stream
from schema.errors import TripstreamError
from schema.settings import Settings
from schema.sql import load

_SQL, _LETTERS = load("health"), load("letters")
_REFUSED_SHOWN = 20


def ask(settings: Settings, operating: Operating, viewer: Viewer) -> dict[str, Any]:
    """What the template shows."""
    found = alarms.figures(settings) if viewer.sees_all else None
    findings = operating.examine() if viewer.sees_all else []
    return {
        "viewer": viewer,
        "now": datetime.now(UTC),
        "figures": found,
        "firing": [] if found is None else alarms.firing(found),
        "of_growth": alarms.OF_GROWTH,
        "findings": sorted(findings, key=_rank),
        "unwell": sum(one.good is False for one in findings),
        **_of_site(settings, viewer.site_id),
        **_books(settings, viewer),
    }


def _rank(finding: Finding) -> int:
    return {False: 0, None: 1, True: 2}[finding.good]


def _of_site(settings: Settings, site_id: str) -> dict[str, Any]:
    """When something was last stored and rolled up, and what died lately."""
    try:
        with db.wrapped(), db.reading(settings, db.Scope(site_id), fresh=True) as connection:
            values = {"site_id": site_id}
            stored_at, as_of = connection.execute(_SQL["fresh"], values).fetchall()[0]
            newest = connection.execute(_SQL["newest_event"], values).fetchall()[0][0]
            dying = connection.execute(_LETTERS["lately"], values).fetchall()[0][0]
    except TripstreamError as error:
        return {"stored_at": None, "as_of": None, "newest": None, "dying": None, "away": error.message}
    return {"stored_at": stored_at, "as_of": as_of, "newest": newest, "dying": dying, "away": None}


def _books(settings: Settings, viewer: Viewer) -> dict[str, Any]:
    """Both sides of each site's books, and what of the site was refused in responses, most frequent first."""
    try:
        with db.wrapped(), stream.connect(settings.streams_url, settings.redis_seconds_max) as redis:
            found = _read_books(settings, viewer, redis)
            refused = sorted(stream.rejected(redis, viewer.site_id).items(), key=lambda one: -one[1])
    except (RedisError, OSError):
        return {"books": None, "refused": [], "no_books": "Redis cannot be reached, which knows what was accepted."}
    except (TripstreamError, psycopg.Error):
        return {"books": None, "refused": [], "no_books": "Postgres cannot be reached, which knows what was stored."}
    return {"books": found, "refused": refused[:_REFUSED_SHOWN], "no_books": None}


def _read_books(settings: Settings, viewer: Viewer, redis: Any) -> Sequence[Books]:
    if viewer.sees_all:
        with db.connect(settings, "tripstream_monitor", statement_seconds_max=5) as connection:
            return conservation.books(connection, redis, settings, None)
    with db.reading(settings, db.Scope(viewer.site_id), fresh=True, statement_seconds_max=5) as connection:
        return conservation.books(connection, redis, settings, viewer.site_id)
