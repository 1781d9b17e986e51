"""What every test of the accept path may ask for. In: this test's own database and queue. Out: a started application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schema.settings import Settings
from tests.ingest.serving import Server, serving


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    """The whole application, with the registry published."""
    with serving(settings) as running:
        yield running
