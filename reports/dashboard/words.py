"""Figures in words. In: numbers and times. Out: text for a page; a dash where there is nothing."""

from __future__ import annotations

from datetime import date, datetime


def whole(value: float | None) -> str:
    """12,345; a dash where there is nothing."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """0.1234 as 12.3 %."""
    return "–" if value is None else f"{value * 100:,.{digits}f} %"


def change(value: float | None) -> str:
    """0.25 as +25 %."""
    return "–" if value is None else f"{value * 100:+,.0f} %"


def seconds(value: float | None) -> str:
    """Time in the unit that fits it."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:,.0f} ms"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{value:.1f} s"


def moment(value: datetime | date | None) -> str:
    """A moment, in UTC, to the second."""
    if value is None:
        return "–"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value.isoformat()


WORDS = {"whole": whole, "percent": percent, "change": change, "seconds": seconds, "moment": moment}
