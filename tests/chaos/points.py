"""Where a drain may die, and mistakes that a checker must notice. In: a function to call at each point. Out: nothing.

Points and mistakes are put around the product's functions and named queries, in a process of the test's own: the
product knows nothing of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg

from schema import live, stream
from schema.sql import load
from workers import drain, resolve

READ, LEARNED, RECEIPTED, COPYING, LEDGER = "read", "learned", "receipted", "copying", "ledger"
COUNTING, WRITTEN, COMMITTED, DELETED = "counting", "written", "committed", "deleted"
ACKNOWLEDGED, SLIDING, BISECTING = "acknowledged", "sliding", "bisecting"
UNCOMMITTED = (READ, LEARNED, RECEIPTED, COPYING, LEDGER, COUNTING, WRITTEN)
AFTER_DELETE = (DELETED, ACKNOWLEDGED, SLIDING)
AFTER_COMMIT = (COMMITTED, *AFTER_DELETE)
POINTS = (*UNCOMMITTED, *AFTER_COMMIT, BISECTING)

ACK_FIRST, NO_LEDGER, ROWS_ONLY = "acknowledge before commit", "no ledger", "a unique key for a ledger"

DEADLY = "/deadly"

_SQL = load("drain")
_AFTER = {_SQL["new_batches"]: RECEIPTED, _SQL["known_events"]: LEDGER, _SQL["add_drained"]: WRITTEN}
_BEFORE = {_SQL["store_trips"]: COUNTING}

Visit = Callable[[str], None]


def set_points(visit: Visit) -> None:
    """Call `visit` at every point. (Functions are replaced where the drain looks them up.)"""
    _set_queries(visit)
    _set_copy(visit)
    _around(stream, "read", after=lambda found: found and visit(READ))
    _around(stream, "read_pending", after=lambda found: found and visit(READ))
    _around(resolve.Dictionaries, "learn", after=lambda _: visit(LEARNED))
    _around(drain.Drain, "_rehearse", after=lambda _: visit(BISECTING))
    _tear_forget(visit)
    _around(stream, "forget", before=lambda *_: visit(COMMITTED))
    _tear_slide(visit)
    _around(live, "slide", before=lambda *_: visit(ACKNOWLEDGED))


def _set_queries(visit: Visit) -> None:
    inner = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        known = isinstance(query, str)
        if known and query in _BEFORE:
            visit(_BEFORE[query])
        result = inner(self, query, *args, **kwargs)
        if known and query in _AFTER:
            visit(_AFTER[query])
        return result

    psycopg.Cursor.execute = execute  # type: ignore[method-assign]


def _set_copy(visit: Visit) -> None:
    """In the middle of the rows, not of the ids that the ledger is asked about before."""
    of_rows = False

    def note(_: Any, query: str) -> None:
        nonlocal of_rows
        of_rows = query.startswith("COPY stage ")

    _around(psycopg.Cursor, "copy", before=note)
    _around(psycopg.Copy, "write_row", after=lambda _: of_rows and visit(COPYING))


def _tear_forget(visit: Visit) -> None:
    """Between XDEL and XACK: what a pipeline sends in one piece may be cut there as well."""
    inner = stream.forget

    def forget(redis: Any, lane: int, entry_ids: Any) -> None:
        redis.xdel(f"ev:{lane}", *entry_ids)
        visit(DELETED)
        inner(redis, lane, entry_ids)

    stream.forget = forget


def _tear_slide(visit: Visit) -> None:
    """Some live sessions moved on, some not."""
    inner = live.slide

    def slide(redis: Any, seen_ms: Any) -> None:
        inner(redis, {site: dict(list(seen.items())[:1]) for site, seen in seen_ms.items()})
        visit(SLIDING)
        inner(redis, seen_ms)

    live.slide = slide


def die_of(path: str) -> None:
    """An event of this path kills whoever resolves it, as one would that a parser cannot survive."""
    inner = resolve.Dictionaries.learn

    def learn(self: Any, connection: Any, staged: Any) -> None:
        if any(each.event.path == path for each in staged):
            os.kill(os.getpid(), signal.SIGKILL)
        inner(self, connection, staged)

    resolve.Dictionaries.learn = learn  # type: ignore[method-assign]


def _around(
    owner: Any, name: str, before: Callable[..., Any] = lambda *_: None, after: Callable[[Any], Any] = lambda _: None
) -> None:
    inner = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args)
        result = inner(*args, **kwargs)
        after(result)
        return result

    setattr(owner, name, wrapped)


def make_mistake(name: str) -> None:
    """Make the drain wrong in one way."""
    if name == ACK_FIRST:
        _acknowledge_first()
    else:
        _replace(MISTAKEN[name])


def _acknowledge_first() -> None:
    """What every consumer of a queue is one line away from."""
    inner = drain.Drain._store

    def store(self: drain.Drain, chunk: Any) -> Any:
        stream.forget(self.redis, self.lane, [entry.entry_id for entry in chunk])
        return inner(self, chunk)

    drain.Drain._store = store  # type: ignore[method-assign]


_ALL_NEW = {
    _SQL["known_events"]: "WITH entered AS (INSERT INTO event_ids SELECT site_id, event_id, now() FROM incoming"
    " ON CONFLICT DO NOTHING) SELECT NULL::text, NULL::uuid WHERE false"
}
MISTAKEN = {
    # Every delivery is taken for the first.
    NO_LEDGER: _ALL_NEW | {_SQL["new_batches"]: "SELECT unnest(%(batch_ids)s::uuid[])"},
    # The table of events keeps repeated ones out, as a unique key does; counters know nothing of it.
    ROWS_ONLY: _ALL_NEW
    | {
        _SQL["store_events"]: "INSERT INTO events SELECT * FROM stage AS s WHERE NOT EXISTS"
        " (SELECT FROM events AS e WHERE (e.site_id, e.event_id) = (s.site_id, s.event_id))"
    },
}


def _replace(queries: dict[Any, str]) -> None:
    inner = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        return inner(self, queries.get(query, query) if isinstance(query, str) else query, *args, **kwargs)

    psycopg.Cursor.execute = execute  # type: ignore[method-assign]
