"""What whoever looks at a page may see and do. In: a request. Out: the site, whether its letters may be changed, and
whether what is of the whole installation may be seen; Unauthorized, Forbidden.
"""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request

from schema import db, rights
from schema.errors import Forbidden, Unauthorized
from schema.settings import Settings
from schema.sql import load


class Viewer(NamedTuple):
    """`may_change`: with an admin key of this site, or the installation's. `sees_all`: with the latter, or on this
    machine without a key."""

    site_id: str
    may_change: bool
    sees_all: bool


def viewer(settings: Settings, request: Request) -> Viewer:
    """Who looks. Raises Unauthorized, Forbidden."""
    with db.wrapped():
        site_id = rights.whole_site_of(settings, request).site_id
        key = rights.key_in(request.headers)
        sees_all = key is None or rights.is_installations(settings, key)
        return Viewer(site_id, _may_change(settings, request, site_id), sees_all)


def changed_site(settings: Settings, request: Request) -> str:
    """The site that a form changes. Raises Unauthorized, Forbidden."""
    with db.wrapped():
        site_id = rights.whole_site_of(settings, request).site_id
        return rights.changed_site(settings, request.headers, site_id)


def all_sites(settings: Settings) -> list[str]:
    """Every site's id, for whoever sees them all."""
    with db.wrapped(), db.connect(settings, "tripstream_monitor", statement_seconds_max=5) as connection:
        return [site_id for (site_id,) in connection.execute(load("health")["sites"])]


def _may_change(settings: Settings, request: Request, site_id: str) -> bool:
    try:
        return rights.changed_sites(settings, request.headers) in (None, site_id)
    except (Unauthorized, Forbidden):
        return False
