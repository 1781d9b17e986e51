"""Dead letters and receipts go at their limit; what they counted still adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.make import DAY, T0, canonical
from tests.workers.pipeline import Pipeline
from tests.workers.retaining import YEAR_LATER, retain
from tests.workers.test_umami import bring, export, row
from workers import deadletters, old_receipts, retention

LATER = T0 + 200 * DAY


def left(pipe: Pipeline) -> tuple[int, int]:
    return pipe.row("SELECT (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM batches)")


def unfit(pipe: Pipeline, *numbers: int, at: int, site_id: str = "default") -> None:
    """Batches with one event that is stored, one twice, and one that cannot be."""
    for n in numbers:
        events = [canonical(10 * n, occurred_at=at), canonical(10 * n, occurred_at=at),
                  canonical(10 * n + 1, occurred_at=at, trip_id=-1)]  # fmt: skip
        pipe.send(*events, site_id=site_id, received_at=at)


def test_letters_and_receipts_of_long_ago_are_only_counted(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_receipts, "_ROWS_AT_ONCE", 2)
    unfit(pipe, 1, 2, 3, 4, 5, at=T0)
    unfit(pipe, 6, at=LATER)
    letter = deadletters.open_ids(pipe.connection)[0]
    deadletters.patch(pipe.connection, letter, {"trip_id": 7})
    assert deadletters.replay(pipe.connection, [letter], pipe.settings)[0].verdict == "replayed"
    pipe.roll_up()
    told, _ = retention.look(pipe.settings, YEAR_LATER)
    assert [(one.table, one.rows) for one in told[-2:]] == [("dead_letters", 5), ("batches", 5)]
    assert left(pipe) == (6, 6)
    assert retain(pipe) == told
    assert left(pipe) == (1, 1)
    assert pipe.row("SELECT stored, duplicate, dead, letters FROM base_receipts") == (6, 5, 4, 4)
    assert pipe.problems() == []
    assert retain(pipe) == []
    assert retain(pipe, YEAR_LATER + timedelta(days=400)) != []
    assert left(pipe) == (0, 0)
    assert pipe.problems() == []


def test_letters_follow_what_a_site_keeps_and_receipts_stay_a_month(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name, raw_days) VALUES ('shop', '', 10)")
    unfit(pipe, 1, at=T0, site_id="shop")
    unfit(pipe, 2, at=T0)
    pipe.roll_up()
    retain(pipe, datetime(2026, 1, 20, tzinfo=UTC))
    assert pipe.rows("SELECT site_id FROM dead_letters") == [("default",)]
    assert left(pipe) == (1, 2)
    assert pipe.problems() == []
    retention.set_limit(pipe.connection, "interaction", 2)
    try:
        retain(pipe, datetime(2026, 1, 30, tzinfo=UTC))
        assert left(pipe) == (0, 2)
        retain(pipe, datetime(2026, 2, 1, tzinfo=UTC))
        assert left(pipe) == (0, 0)
    finally:
        retention.set_limit(pipe.connection, "interaction", 365)
    assert pipe.problems() == []


def test_receipts_of_an_import_stay_so_that_it_can_be_taken_back(pipe: Pipeline, tmp_path: Path) -> None:
    bring(pipe, export(tmp_path / "u.csv", row(1), row(2)))
    before = left(pipe)
    assert before[1] > 0
    retain(pipe, datetime(2028, 1, 1, tzinfo=UTC))
    assert left(pipe) == before
    assert pipe.problems() == []
