"""Questions that are answered from what is stored, and wait for no rollup. In: a connection and a span. Out: the span
as of now; InvalidRequest that says what to narrow where Postgres gave up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from schema.db import Connection
from schema.errors import InvalidRequest
from schema.spans import Span

SECONDS_MAX = 10


def as_of_now(connection: Connection, span: Span) -> Span:
    """The span, complete until this transaction began; it moves as long as it is not over. What is rare is looked for
    by as many processes as Postgres likes: alone it took half as long again."""
    connection.execute("SET LOCAL max_parallel_workers_per_gather TO DEFAULT")
    ((now,),) = connection.execute("SELECT now()").fetchall()
    return span._replace(as_of=now, is_moving=span.ends > now.replace(minute=0, second=0, microsecond=0))


@contextmanager
def narrowed(field: str = "days", what: str = "fewer days") -> Iterator[None]:
    """Names the parameter to narrow where a statement took too long."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        why = f"this takes longer than {SECONDS_MAX} s: ask for {what}"
        raise InvalidRequest(fields=[(field, why)]) from error
