"""What the tests of figures ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schema.settings import Settings
from tests.workers.pipeline import Pipeline, pipeline


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline of this test's own."""
    with pipeline(settings) as found:
        yield found
