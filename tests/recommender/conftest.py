"""A catalogue to sell from, a state directory of the test's own, and a view that looks when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender.fresh import Fresh
from schema import db
from schema.settings import Settings
from tests.recommender.marketplace import Marketplace, opened


@pytest.fixture
def market(settings: Settings) -> Iterator[Marketplace]:
    with db.connect(settings) as connection:
        yield opened(settings, connection)


@pytest.fixture
def at_home(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"state": tmp_path})


@pytest.fixture
def fresh(at_home: Settings) -> Fresh:
    return Fresh(at_home)
