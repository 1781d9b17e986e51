"""Figures on top of a page. In: a figure and what it was in the days before. Out: both in words, the change, whether
it is for the better.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from reports.dashboard.words import percent, whole
from schema.spans import Span

_SAME = 0.0005  # half of what a tenth of a point shows


class Card(NamedTuple):
    """One figure. `tone`: up where the change is for the better, down where it is for the worse."""

    title: str
    current: str
    previous: str
    change: str
    tone: str


def count(title: str, current: int, previous: int) -> Card:
    """How many: more are better."""
    change = f"{(current - previous) / previous * 100:+,.0f} %" if previous else "–"
    return Card(title, whole(current), whole(previous), change, _tone(current - previous) if previous else "")


def rate(title: str, current: float | None, previous: float | None, *, more_is_better: bool) -> Card:
    """A share, whose change is in points."""
    if current is None or previous is None:
        return Card(title, percent(current), percent(previous), "–", "")
    points = current - previous
    tone = "" if abs(points) < _SAME else _tone(points if more_is_better else -points)
    return Card(title, percent(current), percent(previous), f"{points * 100:+,.1f} pts", tone)


def value(title: str, current: float | None, previous: float | None, unit: str, *, more_is_better: bool) -> Card:
    """Anything that is measured."""
    shown = ["–" if one is None else f"{one:,.1f}{unit}" for one in (current, previous)]
    if current is None or not previous:
        return Card(title, shown[0], shown[1], "–", "")
    more = current / previous - 1
    tone = "" if abs(more) < _SAME else _tone(more if more_is_better else -more)
    return Card(title, shown[0], shown[1], f"{more * 100:+,.0f} %", tone)


def before(span: Span) -> Span:
    """As many days right before these, of which only the dates are to be asked."""
    return span._replace(start=span.start - timedelta(days=span.days), end=span.start - timedelta(days=1))


def _tone(better: float) -> str:
    return "" if not better else "up" if better > 0 else "down"
