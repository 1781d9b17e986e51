"""Days, weeks and months. In: a day or a span. Out: where its bucket begins. Weeks begin on Monday."""

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


def first_days(span: Span, begins: Begins) -> Iterator[date]:
    """Each bucket's first day of the span, which a bucket before it may have been cut by."""
    for n in range(span.days):
        day = span.start + timedelta(days=n)
        if n == 0 or begins(day) == day:
            yield day
