"""What happens on a site now. In: its live keys (schema/realtime.py). Out: figures of the last minute and half hour, as
`GET /api/stats/realtime` answers them and as `GET /api/live` streams them.

An event counts in the minute in which it happened, once it is stored; bots, imports and what came late do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field

from schema.answers import Answer, Figures
from schema.event import MICROSECOND
from schema.realtime import Now


class Counted(Figures):
    """Events of a stretch of time, and how many of each type, most frequent first."""

    events: int
    by_type: dict[str, int]


class Minute(Figures):
    """Events of one minute (UTC); the last of them is going on."""

    minute: datetime
    events: int


class Trip(Figures):
    """A trip and what was done with it, which is every event about it but its impressions."""

    trip_id: int
    interactions: int


class Page(Figures):
    """A path and its page views."""

    path: str
    views: int


class LatestEvent(Figures):
    """One event, without anybody's id."""

    occurred_at: datetime
    event_type: str
    path: str | None
    trip_id: int | None
    source: str | None
    country: str | None
    device_type: str | None


class Realtime(Answer):
    """One site now. Visitors are estimated from some hundreds on (0.8 %); top trips and pages are of the last 25 to 30
    minutes. As CSV: the minutes."""

    tables: ClassVar[tuple[str, ...]] = ("minutes",)

    site_id: str
    active_visitors: int = Field(description="Who sent any event within the last five minutes.")
    visitors: int = Field(description="The same of the last half hour.")
    last_minute: Counted
    last_half_hour: Counted
    minutes: list[Minute]
    top_trips: list[Trip]
    top_pages: list[Page]
    latest_events: list[LatestEvent]


def realtime(site_id: str, at: int, now: Now) -> Realtime:
    """The figures as they are answered."""
    return Realtime(
        as_of=_moment(at),
        is_moving=True,
        site_id=site_id,
        active_visitors=now.active_visitors,
        visitors=now.visitors,
        last_minute=_counted(now.last_minute),
        last_half_hour=_counted(now.last_half_hour),
        minutes=[Minute(minute=_moment(m * 60 * MICROSECOND), events=n) for m, n in now.by_minute],
        top_trips=[Trip(trip_id=trip, interactions=n) for trip, n in now.trips],
        top_pages=[Page(path=path, views=n) for path, n in now.pages],
        latest_events=[
            LatestEvent(
                occurred_at=_moment(one.occurred_at), event_type=one.event_type, path=one.path, trip_id=one.trip_id,
                source=one.source, country=one.country, device_type=one.device_type,
            )
            for one in now.latest
        ],
    )  # fmt: skip


def _counted(by_type: Mapping[str, int]) -> Counted:
    ranked = sorted(by_type.items(), key=lambda one: (-one[1], one[0]))
    return Counted(events=sum(by_type.values()), by_type=dict(ranked))


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / MICROSECOND, tz=UTC)
