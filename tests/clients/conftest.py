"""A whole Tripstream for clients to talk to: `tripstream up` on the servers that every test shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.settings import Settings
from tests.tripstream.starting import Up, upon


@pytest.fixture
def one(settings: Settings, state: Path, tmp_path: Path) -> Iterator[Up]:
    """The product as people start it: its supervisor holds the port, and starts again what is killed."""
    with upon(settings, state, tmp_path / "log") as started:
        yield started
