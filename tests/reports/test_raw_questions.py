"""What reports are measured beside is asked in words that Postgres takes: the bench itself takes too long for this."""

from __future__ import annotations

from datetime import date

import pytest

from bench.reports import RAW, REPORTS
from schema import db
from schema.settings import Settings


@pytest.mark.parametrize("name", sorted(RAW))
def test_each_question_to_the_raw_table_is_one_that_postgres_takes(settings: Settings, name: str) -> None:
    bounds = {"starts": date(2026, 10, 1), "ends": date(2026, 10, 31), "zone": "Asia/Jerusalem"}
    with db.connect(settings, "owner") as connection:
        connection.execute(RAW[name], {one: value for one, value in bounds.items() if f"%({one})s" in RAW[name]})
    assert name in {report.raw for report in REPORTS}
