"""Starts `tripstream up`, and sees that nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tripstream.starting import Up
from tests.tripstream.waiting import gone, until


@pytest.fixture
def up(state: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    made: list[Up] = []

    def start(**variables: str) -> Up:
        made.append(Up(state, tmp_path / f"log{len(made)}", **variables))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
    until(lambda: not [pid for one in made for pid in one.server_pids() if not gone(pid)], "the servers end")
