"""Which days figures are asked of. In: parameters, a site and the time. Out: a span of the site's own days with its
moments and its freshness, or InvalidRequest naming the parameter that is wrong.

`start`, `end` and `days`: any two of them say which days; one of them, or none, is completed by today and a default.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schema.days import Day
from schema.db import Connection
from schema.errors import InvalidRequest, NotFound
from schema.sql import load

DAYS_MAX = 3660
FIRST, LAST = date(1970, 1, 1), date(9900, 12, 31)  # what a span adds or takes away stays a date
_SQL = load("spans")
SiteId = Annotated[
    str | None, Field(max_length=200, description="Whose figures, where an owner has pages in several sites.")
]


class SpanQuery(BaseModel):
    """What every question about days may say. A parameter that is none of a question's is refused."""

    model_config = ConfigDict(extra="forbid")
    days_default: ClassVar[int] = 30

    start: Annotated[Day | None, Field(description="The first day, like 2027-03-31, in the site's time zone.")] = None
    end: Annotated[Day | None, Field(description="The last day, included. Without it: today.")] = None
    days: Annotated[
        int | None, Field(ge=1, le=DAYS_MAX, description="How many days, up to `end`, or from `start` on.")
    ] = None
    site_id: SiteId = None
    format: Annotated[
        Literal["json", "csv"] | None, Field(description="csv, which Accept: text/csv asks for as well, or json.")
    ] = None


class Span(NamedTuple):
    """Days of a site, `start` and `end` included, and the moments `starts` and `ends` (not included) that bound them.

    `as_of`: whatever was stored before it is in the figures; None before the first rollup. `is_moving`: the figures may
    still change without a late event, since the span reaches into the hour of as_of or has days that wait for a rollup.
    """

    site_id: str
    time_zone: str
    today: date
    start: date
    end: date
    starts: datetime
    ends: datetime
    as_of: datetime | None
    is_moving: bool

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def head(self) -> dict[str, Any]:
        """What every answer says of its span (SpanAnswer)."""
        kept = ("site_id", "time_zone", "start", "end", "as_of", "is_moving")
        return {name: getattr(self, name) for name in kept}

    @property
    def bounds(self) -> dict[str, Any]:
        """Its parameters of queries: %(site_id)s, %(start)s, %(ends)s, …; its whole weeks begin with %(monday)s and end
        before %(past)s, both of which are its first day where there is none."""
        monday = self.start + timedelta(days=-self.start.weekday() % 7)
        weeks = ((self.end - monday).days + 1) // 7
        if weeks < 1:
            return self._asdict() | {"monday": self.start, "past": self.start}
        return self._asdict() | {"monday": monday, "past": monday + timedelta(weeks=weeks)}


class Site(NamedTuple):
    """A site as it is at some moment."""

    time_zone: str
    today: date
    as_of: datetime | None


def site(connection: Connection, site_id: str, at: datetime) -> Site:
    """The site's zone and day at a moment. Raises NotFound."""
    found = connection.execute(_SQL["site"], {"site_id": site_id, "at": at}, prepare=True).fetchone()
    if found is None:
        raise NotFound(f"There is no site {site_id}.")
    return Site(*found)


def of(connection: Connection, site_id: str, query: SpanQuery, at: datetime) -> Span:
    """The span that is meant. `at` is now. Raises InvalidRequest, NotFound."""
    found = site(connection, site_id, at)
    return between(connection, site_id, found, *days_of(query, found.today))


def between(connection: Connection, site_id: str, site: Site, start: date, end: date) -> Span:
    """The span of these days."""
    asked = {"site_id": site_id, "start": start, "end": end, "as_of": site.as_of}
    ((starts, ends, is_moving),) = connection.execute(_SQL["bounds"], asked, prepare=True).fetchall()
    return Span(site_id, site.time_zone, site.today, start, end, starts, ends, site.as_of, is_moving)


def days_of(query: SpanQuery, today: date) -> tuple[date, date]:
    """First and last day. Raises InvalidRequest."""
    refuse_far("start", query.start)
    refuse_far("end", query.end)
    start, end, days = query.start, query.end, query.days
    if start and end and days:
        raise InvalidRequest(fields=[("days", "start and end already say how many days: leave one of the three out")])
    length = timedelta(days=(days or query.days_default) - 1)
    if start is None:
        end = end or today
        return end - length, end
    if end is None:
        end = start + length if days else max(today, start)
    if start > end:
        raise InvalidRequest(fields=[("start", f"{start} lies after end, {end}")])
    if (end - start).days >= DAYS_MAX:
        raise InvalidRequest(fields=[("start", f"a span has at most {DAYS_MAX} days, not {(end - start).days + 1}")])
    return start, end


def refuse_far(name: str, day: date | None) -> None:
    """A day that no calendar of a site reaches. Raises InvalidRequest."""
    if day is not None and not FIRST <= day <= LAST:
        raise InvalidRequest(fields=[(name, f"lies outside {FIRST} to {LAST}")])
