"""Trips: places, catalogue, its changes, requests for recommendations, their figures, evaluation scenarios."""

import csv
import json
from pathlib import Path

from alembic import op

import schema

revision = "0002"
down_revision = "0001"

_PLACES = Path(schema.__file__).parent / "places"
_FILL = {
    "continents": "INSERT INTO continents (continent, name_en, name_he) VALUES (%s, %s, %s)",
    "countries": "INSERT INTO countries (country, name_en, name_he, continent) VALUES (%s, %s, %s, %s)",
}
_SCENARIOS = Path(schema.__file__).parent / "scenarios.jsonl"
_ADD = (
    "INSERT INTO evaluation_scenarios (name, category, preferences, trips, expected)"
    " VALUES (%(name)s, %(category)s, %(preferences)s::jsonb, %(trips)s::jsonb, %(expected)s::jsonb)"
    " ON CONFLICT (name) DO NOTHING"
)


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text().replace("%", "%%"))
    connection.exec_driver_sql("SET LOCAL tripstream.bulk = 'on'")  # nobody has a catalogue yet that these change
    for table, insert in _FILL.items():
        with (_PLACES / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        connection.exec_driver_sql(insert, [tuple(row) for row in rows])
    connection.exec_driver_sql("SET LOCAL tripstream.bulk = 'off'")
    scenarios = [json.loads(line) for line in _SCENARIOS.read_text(encoding="utf-8").splitlines()]
    for one in scenarios:
        documents = {column: one[column] for column in ("preferences", "trips", "expected")}
        values = {column: None if found is None else json.dumps(found) for column, found in documents.items()}
        connection.exec_driver_sql(_ADD, one | values)
