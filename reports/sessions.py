"""Sessions of days. In: rows of daily_sessions. Out: how many, how long, how many of them bounced.

A session that crosses midnight is one of both days, so that days add up; each day tells of what lay in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from schema import histogram
from schema.answers import Figures


class Row(NamedTuple):
    """One day, or several of them."""

    sessions: int = 0
    bounces: int = 0
    page_views: int = 0
    events: int = 0
    length_ms: int = 0
    length_ms_histogram: Sequence[int] = ()


class Seconds(Figures):
    """How long sessions were, from first to last event. The percentiles are within 4.5 % of the exact ones."""

    average: float | None
    p50: float | None
    p95: float | None


class Sessions(Figures):
    """What sessions were."""

    sessions: int
    bounces: int
    bounce_rate: float | None
    page_views_per_session: float | None
    events_per_session: float | None
    seconds: Seconds = Field(description="Of a session, from its first event of a day to its last")


def of(rows: Sequence[Row]) -> Sessions:
    """The days together."""
    total = add(rows)
    merged = total.length_ms_histogram
    return Sessions(
        sessions=total.sessions,
        bounces=total.bounces,
        bounce_rate=ratio(total.bounces, total.sessions),
        page_views_per_session=ratio(total.page_views, total.sessions),
        events_per_session=ratio(total.events, total.sessions),
        seconds=Seconds(
            average=_seconds(total.length_ms / total.sessions if total.sessions else None),
            p50=_seconds(histogram.percentile(merged, 0.5)),
            p95=_seconds(histogram.percentile(merged, 0.95)),
        ),
    )


def add(rows: Sequence[Row]) -> Row:
    """One row of many."""
    return Row(
        sessions=sum(row.sessions for row in rows),
        bounces=sum(row.bounces for row in rows),
        page_views=sum(row.page_views for row in rows),
        events=sum(row.events for row in rows),
        length_ms=sum(row.length_ms for row in rows),
        length_ms_histogram=histogram.merge(row.length_ms_histogram for row in rows),
    )


def ratio(part: float, whole: float) -> float | None:
    """Null where there is nothing to divide by."""
    return round(part / whole, 6) if whole else None


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 3)
