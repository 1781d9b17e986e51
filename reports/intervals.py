"""Days, weeks and months. In: a day or a span. Out: where its bucket begins, or which weeks lie in it. Weeks begin on
Monday.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta

from schema.spans import Span

Begins = Callable[[date], date]
BEGINS: dict[str, Begins] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}


def weeks_in(span: Span) -> dict[str, date]:
    """The Monday with which the whole weeks of a span begin, and the day after the last of them; where there is none,
    both are the span's first day."""
    monday = span.start + timedelta(days=-span.start.weekday() % 7)
    weeks = ((span.end - monday).days + 1) // 7
    if weeks < 1:
        return {"monday": span.start, "past": span.start}
    return {"monday": monday, "past": monday + timedelta(weeks=weeks)}


def first_days(span: Span, begins: Begins) -> Iterator[date]:
    """Each bucket's first day of the span, which a bucket before it may have been cut by."""
    for n in range(span.days):
        day = span.start + timedelta(days=n)
        if n == 0 or begins(day) == day:
            yield day
