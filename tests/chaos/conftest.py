"""What the directed fault tests ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest

from schema.settings import Settings
from tests.chaos.processes import Process, end_all
from tests.chaos.queue import Queue

Start = Callable[..., Process]


@pytest.fixture
def queue(settings: Settings) -> Queue:
    """Empty lanes on the shared servers, which these tests do not kill."""
    return Queue(settings, Random(1))


@pytest.fixture
def start() -> Iterator[Start]:
    """Takes note of processes, and ends them after the test."""
    started: list[Process] = []

    def note(process: Process) -> Process:
        started.append(process)
        return process

    yield note
    end_all(started)
