"""Retention: of those who were first seen in a week, how many came back in each week after it. In: how many weeks. Out:
an answer.

Read from users and sessions as they are stored, so that it is as of now. A week begins on Monday, in the site's zone. A
user counts in each week in which a session of theirs began or ended; a session is the user's with whom it began. Who
turns out to be one person is one, in the week in which the first of the two was first seen.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from reports.sessions import ratio
from reports.stored import narrowed
from schema import spans
from schema.answers import Figures, SpanAnswer
from schema.days import Day
from schema.db import Connection
from schema.spans import SiteId, Span, SpanQuery
from schema.sql import load

WEEKS_MAX = 104
_SQL = load("cohorts")


class RetentionQuery(BaseModel):
    """Which weeks."""

    model_config = ConfigDict(extra="forbid")

    weeks: Annotated[int, Field(ge=1, le=WEEKS_MAX, description="How many weeks, the last included.")] = 8
    end: Annotated[Day | None, Field(description="A day of the last week. Without it: today.")] = None
    site_id: SiteId = None
    format: Annotated[
        Literal["json", "csv"] | None, Field(description="csv, which Accept: text/csv asks for as well, or json.")
    ] = None

    @property
    def day(self) -> SpanQuery:
        """The day that they end with."""
        return SpanQuery.model_construct(end=self.end, days=1, site_id=self.site_id)  # validated already


class Cohort(Figures):
    """Whoever was first seen in the week that begins on `week`. `active` and `rate`: how many of them, and which share,
    were there so many weeks later; 0 is the week itself. A week that is not over still grows."""

    week: date
    users: int
    active: dict[int, int]
    rate: dict[int, float | None]


class Retention(SpanAnswer):
    """One cohort a week."""

    tables: ClassVar[tuple[str, ...]] = ("cohorts",)

    weeks: int
    cohorts: list[Cohort]


def weeks_to(connection: Connection, day: Span, weeks: int) -> Span:
    """The span of so many weeks, the last of which holds the day."""
    monday = day.end - timedelta(days=day.end.weekday())
    start, end = monday - timedelta(weeks=weeks - 1), monday + timedelta(days=6)
    site = spans.Site(day.time_zone, day.today, day.as_of)
    return spans.between(connection, day.site_id, site, start, end)


def retention(connection: Connection, span: Span) -> Retention:
    """The answer for a span of whole weeks."""
    weeks = span.days // 7
    with narrowed("weeks", "fewer weeks"):
        rows = connection.execute(_SQL["cohorts"], span.bounds | {"weeks": weeks}, prepare=False).fetchall()
    users: dict[tuple[int, int], int] = {(cohort, week): count for cohort, week, count in rows}
    begun = min(weeks, max((span.today - span.start).days // 7 + 1, 0))
    cohorts = [_cohort(span.start, cohort, begun, users) for cohort in range(1, begun + 1)]
    return Retention(**span.head, weeks=weeks, cohorts=cohorts)


def _cohort(start: date, cohort: int, last: int, users: dict[tuple[int, int], int]) -> Cohort:
    size = users.get((cohort, cohort), 0)
    active = {week - cohort: users.get((cohort, week), 0) for week in range(cohort, last + 1)}
    return Cohort(
        week=start + timedelta(weeks=cohort - 1),
        users=size,
        active=active,
        rate={later: ratio(count, size) for later, count in active.items()},
    )
