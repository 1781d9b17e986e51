"""Figures of recommendations, which the recommender makes: no room imports another, so whoever assembles the app hands
them in. In: a span of days. Out: what the pages show of them.
"""

from __future__ import annotations

from typing import Any, Protocol

from schema.db import Connection
from schema.spans import Span


class Recommended(Protocol):
    """The answers of /api/metrics and of what is below it, as models with their fields in snake_case."""

    def summary(self, connection: Connection, span: Span) -> Any:
        """All days as one."""

    def positions(self, connection: Connection, span: Span) -> Any:
        """What was shown and clicked where."""

    def daily(self, connection: Connection, span: Span) -> Any:
        """Day by day."""

    def top_searches(self, connection: Connection, span: Span, limit: int) -> Any:
        """What was asked for most, of each kind."""


DAYS_MAX = 90  # what /api/metrics answers at once, and so a CSV
