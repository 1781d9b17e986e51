"""What the dashboard shows of recommendations. In: the dashboard's days. Out: the recommender's figures of them."""

from __future__ import annotations

from recommender import metrics
from recommender.metrics import Daily, Metrics, Positions, TopSearches
from schema.db import Connection
from schema.spans import Span


def summary(connection: Connection, span: Span) -> Metrics:
    """All days as one."""
    return metrics.summary(connection, _of(span))


def positions(connection: Connection, span: Span) -> Positions:
    """What was shown and clicked where."""
    return metrics.positions(connection, _of(span))


def daily(connection: Connection, span: Span) -> Daily:
    """Day by day."""
    return metrics.daily(connection, _of(span))


def top_searches(connection: Connection, span: Span, limit: int) -> TopSearches:
    """What was asked for most, of each kind."""
    return metrics.top_searches(connection, _of(span), limit)


def _of(span: Span) -> metrics.Span:
    return metrics.Span(span.site_id, span.time_zone, span.start, span.end)
