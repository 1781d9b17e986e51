"""Funnels: how many went through ordered steps within a window. In: steps, and a span of days. Out: an answer; 422 that
says what to narrow, 503 where others count already.

Read from what each day keeps of its events, as of the last rollup, also where the events are gone. Steps have to lie in
the span, all of them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from reports import chains, walks
from reports.chains import Hits, Reached
from reports.sessions import ratio
from reports.stored import SECONDS_MAX, narrowed
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.errors import Busy, InvalidRequest
from schema.spans import Span, SpanQuery
from schema.sql import load

STEPS_MAX, HITS_MAX, SESSIONS_MAX, DAYS_MAX = 10, 4_000_000, 2_000_000, 400
_AT_ONCE = threading.BoundedSemaphore(2)  # each may hold 200 MB: 16 bytes an event, 90 a session
_SQL = load("funnels")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _window(said: object) -> object:
    found = re.fullmatch(r"(\d{1,7})([smhd])", said, re.ASCII) if isinstance(said, str) else None
    if found is None or not 0 < int(found[1]) * _UNITS[found[2]] <= DAYS_MAX * 86_400:
        raise ValueError(f"is no time like 30m, 12h or 7d, of at most {DAYS_MAX} days")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _steps(said: object) -> object:
    steps = [step.strip() for step in said.split(",")] if isinstance(said, str) and "\0" not in said else []
    if not 2 <= len(steps) <= STEPS_MAX or not all(all(one.strip() for one in step.split("|")) for step in steps):
        raise ValueError(f"has to name 2 to {STEPS_MAX} event types, like page_view,click_trip|click,booking_start")
    return ",".join(steps)


Steps = Annotated[
    str,
    BeforeValidator(_steps),
    Field(description="Event types in order, with commas between; a|b where either will do."),
]


class FunnelQuery(SpanQuery):
    """What to follow, and how."""

    steps: Steps
    window: Annotated[
        timedelta,
        BeforeValidator(_window),
        Field(description="How long after the first step the last may come: 30m, 12h, 7d."),
    ] = timedelta(days=7)
    by: Annotated[Literal["session", "user"], Field(description="Who has to take the steps.")] = "session"


class Step(Figures):
    """One step. `reached`: who took it after all before it; `seconds_p50`: half of them were there so soon after the
    first step, by their quickest way."""

    step: int
    event_type: str
    reached: int
    dropped: int
    of_first: float | None
    of_previous: float | None
    seconds_p50: float | None


class Funnel(SpanAnswer):
    """Who came how far."""

    tables: ClassVar[tuple[str, ...]] = ("steps",)

    by: Literal["session", "user"]
    window_seconds: int
    steps: list[Step]


def funnel(connection: Connection, span: Span, query: FunnelQuery) -> Funnel:
    """The answer. Raises InvalidRequest, Busy."""
    if span.days > DAYS_MAX:
        raise InvalidRequest(fields=[("days", f"a funnel is of at most {DAYS_MAX} days: narrow the span")])
    names = query.steps.split(",")
    steps = _types_of(connection, names)
    with _one_of_few(), narrowed():
        hits = _hits(connection, span, steps, query.by)
        found = chains.reached(hits, query.window // timedelta(microseconds=1), strict=_comes_twice(steps))
    return Funnel(
        **span.head,
        by=query.by,
        window_seconds=int(query.window.total_seconds()),
        steps=[_step(n, names, found) for n in range(len(names))],
    )


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=SECONDS_MAX):
        raise Busy("Other funnels are being counted: ask again.")
    try:
        yield
    finally:
        _AT_ONCE.release()


def _types_of(connection: Connection, names: Sequence[str]) -> list[list[int]]:
    """The types of each step, by number. Raises InvalidRequest."""
    steps = [[one.strip() for one in name.split("|")] for name in names]
    wanted = sorted({one for step in steps for one in step})
    known: dict[str, int] = dict(connection.execute(_SQL["types"], {"names": wanted}).fetchall())
    if missing := [one for one in wanted if one not in known]:
        raise InvalidRequest(fields=[("steps", f"there is no event type {', '.join(missing)}")])
    return [sorted({known[one] for one in step}) for step in steps]


def _comes_twice(steps: Sequence[Sequence[int]]) -> bool:
    """Then steps have to come at different moments, or one event would be two of them. Otherwise the same moment will
    do: events of a batch without times of their own have one."""
    types = [one for step in steps for one in step]
    return len(types) > len(set(types))


def _hits(connection: Connection, span: Span, steps: Sequence[Sequence[int]], by: str) -> list[Hits]:
    """Each step's events. Raises InvalidRequest where they are too many to hold."""
    types = sorted({one for step in steps for one in step})
    events, sessions = walks.many(connection, span, types)
    if events > HITS_MAX:
        why = f"more than {HITS_MAX:,} events of these types: ask for fewer days, or leave out the commonest step"
        raise InvalidRequest(fields=[("days", why)])
    if sessions > SESSIONS_MAX:
        raise InvalidRequest(fields=[("days", f"more than {SESSIONS_MAX:,} sessions: ask for fewer days")])
    found = walks.hits(connection, span, types, by)
    return [walks.together([found[one] for one in step]) for step in steps]


def _step(n: int, names: Sequence[str], found: Sequence[Reached]) -> Step:
    here, previous = found[n], found[max(n - 1, 0)]
    return Step(
        step=n + 1,
        event_type=names[n],
        reached=here.people,
        dropped=previous.people - here.people,
        of_first=ratio(here.people, found[0].people),
        of_previous=ratio(here.people, previous.people),
        seconds_p50=None if here.median_us is None else round(here.median_us / 1e6, 3),
    )
