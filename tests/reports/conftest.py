"""What the tests of figures ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schema.settings import Settings
from tests.reports.asks import Get, asking
from tests.workers.pipeline import Pipeline, pipeline


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline of this test's own."""
    with pipeline(settings) as found:
        yield found


@pytest.fixture
def get(settings: Settings) -> Get:
    """Asks the routes that follow single visitors; other files have their own."""
    return asking(settings)
