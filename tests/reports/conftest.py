"""What the tests of figures ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schema.settings import Settings
from tests.reports import asks
from tests.reports.asking import Get, asking
from tests.workers.pipeline import Pipeline, pipeline


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline of this test's own."""
    with pipeline(settings) as found:
        yield found


@pytest.fixture
def get(settings: Settings) -> Get:
    """Asks for figures at noon of 2026-01-10."""
    return asking(settings)


@pytest.fixture
def ask(settings: Settings) -> asks.Get:
    """Asks the routes that follow single visitors, at noon of 2026-03-31."""
    return asks.asking(settings)
