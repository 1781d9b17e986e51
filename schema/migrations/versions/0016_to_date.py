"""Months of trips to date, in place of their weeks."""

from datetime import date
from pathlib import Path
from typing import Any

from alembic import op

from schema.sql import read

revision = "0016"
down_revision = "0015"

_SQL = read(Path(__file__).with_suffix(".sql"))


def upgrade() -> None:
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(_SQL["change"])
    _fill(connection)


def _fill(connection: Any) -> None:
    """By Postgres itself four hundred days of ten thousand trips would take minutes."""
    month: tuple[str, date] | None = None
    to_date: list[tuple[Any, ...]] = []
    with connection.cursor("days", binary=True) as days:
        for site_id, day, *own in days.execute(_SQL["days"]):
            from schema import packed  # brings numpy: only days that are there already need it

            if (site_id, day.replace(day=1)) != month:
                month, to_date = (site_id, day.replace(day=1)), []
            to_date = [packed.together([*to_date, tuple(own)])]
            connection.execute(_SQL["add"], (site_id, day, *to_date[0][1:]))
