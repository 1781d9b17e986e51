"""However many ask at once, Postgres is asked once a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from reports.lately import lately
from reports.metrics import Pipeline as Figures
from schema import db
from schema.settings import Settings
from tripstream.app import _not_ready


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every connection to Postgres."""
    made: list[int] = []
    connect = db.connect

    @contextmanager
    def counted(*arguments: Any, **options: Any) -> Iterator[db.Connection]:
        made.append(1)
        with connect(*arguments, **options) as connection:
            yield connection

    monkeypatch.setattr(db, "connect", counted)
    return made


def test_forty_probes_and_scrapes_at_once_take_a_connection_each(settings: Settings, connected: list[int]) -> None:
    registry = CollectorRegistry()
    registry.register(Figures(settings))
    ready = _not_ready(settings)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda n: ready() if n % 2 else generate_latest(registry), range(80)))
    assert answers[1::2] == [[]] * 40
    assert len(set(answers[::2])) == 1
    assert len(connected) == 2


def test_an_answer_is_asked_for_again_when_it_is_old_and_a_failure_is_none() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError
        return len(asked)

    answer = lately(ask, seconds=0.05)
    with pytest.raises(ValueError):
        answer()
    assert answer() == answer() == 2
    time.sleep(0.06)
    assert answer() == 3
