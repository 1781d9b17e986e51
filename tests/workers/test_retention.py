"""Rows go at their limit; what was counted of them stays, and everything adds up still."""

from __future__ import annotations

from tests.workers.pipeline import Pipeline
from tests.workers.retaining import busy, figures, months, retain
from workers import verify


def test_months_past_the_limit_are_gone_and_no_figure_changes(pipe: Pipeline) -> None:
    busy(pipe)
    before, rows = figures(pipe), pipe.value("SELECT count(*) FROM events")
    gone = retain(pipe)
    assert figures(pipe) == before
    assert [name for name in months(pipe) if name <= "events_interaction_2026_01"] == []
    assert pipe.value("SELECT min(occurred_at) FROM events WHERE category = 'interaction'").month == 2
    assert pipe.value("SELECT count(*) FROM events") == rows - sum(one.rows for one in gone) < rows
    assert pipe.problems() == []
    verify.rebuild(pipe.settings, lambda *_: None)
    assert figures(pipe) == before
    assert pipe.problems() == []
