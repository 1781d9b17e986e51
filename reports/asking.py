"""A question about a site's days, from request to connection. In: a request, its parameters, the time. Out: the span
that is meant, and a connection that sees one moment of that site and no other site; Unauthorized, Forbidden,
NotFound, InvalidRequest, StorageError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from fastapi import Request

from schema import db, rights, spans
from schema.db import Connection
from schema.errors import Forbidden, NotFound
from schema.settings import Settings
from schema.spans import Span, SpanQuery

Clock = Callable[[], datetime]
_OWNER = "These are figures of a whole site: send its read key. Owners read /api/stats/owners and /api/stats/groups."


def now() -> datetime:
    """The clock, where a test does not bring one."""
    return datetime.now(UTC)


@contextmanager
def asked(
    request: Request,
    settings: Settings,
    query: SpanQuery,
    at: datetime,
    *,
    by_owner: bool = False,
    statement_seconds_max: int = 20,
) -> Iterator[tuple[Connection, Span]]:
    """For one question. `by_owner`: its tables tell owners apart, so that an owner may ask it too."""
    with db.wrapped():
        scope = rights.scope_of(settings, request)
        if scope.auth_user_id is not None and not by_owner:
            raise Forbidden(_OWNER)
        if query.site_id not in (None, scope.site_id):
            raise NotFound(f"There is no site {query.site_id} that may be read so: a key reads its own.")
        with db.reading(settings, scope, statement_seconds_max=statement_seconds_max) as connection:
            yield connection, spans.of(connection, scope.site_id, query, at)
