"""A small marketplace in Postgres. In: what differs from the ordinary trip. Out: ids of rows.

Trips leave `starts_in` days from today, because Postgres and the application go by the day it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schema import db
from schema.settings import Settings

SHOP = """
    INSERT INTO companies (company_id, name) VALUES (1, 'Far Away');
    INSERT INTO guides (guide_id, name_en, name_he) VALUES (1, 'Noa', 'נועה');
    INSERT INTO trip_types (type_id, code, name_en, name_he)
    VALUES (1, 'hike', 'Hike', 'טיול'), (2, 'safari', 'Safari', 'ספארי');
    INSERT INTO tags (tag_id, code, name_en, name_he) VALUES (1, 'food', 'Food', 'אוכל'), (2, 'sea', 'Sea', 'ים')"""
TEMPLATE = {
    "company_id": 1, "title_en": "Rome", "title_he": "רומא", "type_id": 1, "primary_country": "IT", "difficulty": 2,
    "base_price": "1000.00", "duration_days": 7,
}  # fmt: skip
OCCURRENCE = {"price": "1000.00", "guide_id": 1, "seats": 20, "seats_left": 5, "status": "Open"}


class Marketplace:
    """Writes through a connection of the writer, each call a transaction of its own."""

    def __init__(self, connection: db.Connection) -> None:
        self.connection = connection

    def run(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []

    def template(self, countries: tuple[str, ...] = (), tags: tuple[int, ...] = (), **overrides: Any) -> int:
        """A template, with more countries and with tags."""
        template_id = self._insert("trip_templates", "template_id", TEMPLATE | overrides)
        for country in countries:
            self.run("INSERT INTO trip_template_countries VALUES (%s, %s)", template_id, country)
        for tag in tags:
            self.run("INSERT INTO trip_template_tags VALUES (%s, %s)", template_id, tag)
        return template_id

    def occurrence(self, template_id: int, starts_in: int = 100, **overrides: Any) -> int:
        """A trip of a template."""
        starts_on = datetime.now(UTC).date() + timedelta(days=starts_in)
        when = {"template_id": template_id, "starts_on": starts_on, "ends_on": starts_on + timedelta(days=6)}
        return self._insert("trip_occurrences", "occurrence_id", OCCURRENCE | when | overrides)

    def trips(self, number: int, first: int = 100, **overrides: Any) -> list[int]:
        """One trip each of as many templates, leaving one a day."""
        return [self.occurrence(self.template(**overrides), first + n) for n in range(number)]

    def sell_out(self, *occurrence_ids: int) -> None:
        query = "UPDATE trip_occurrences SET seats_left = 0, status = 'Full' WHERE occurrence_id = ANY(%s)"
        self.run(query, list(occurrence_ids))

    def _insert(self, table: str, key: str, values: dict[str, Any]) -> int:
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        query = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING {key}"
        return int(self.run(query, *values.values())[0][0])


def opened(settings: Settings, connection: db.Connection) -> Marketplace:
    """With a company, a guide, types and themes."""
    connection.execute(SHOP)
    return Marketplace(connection)
