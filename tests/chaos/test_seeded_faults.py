"""The whole pipeline under seeded faults, against the checker. CHAOS_FAULTS says how many, CHAOS_SEED which.

`make chaos` does 300. What was promised must be stored once or be a dead letter, and counted once, whatever died.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from random import Random

import pytest

from tests.chaos import nemesis
from tests.chaos.checker import refused
from tests.chaos.history import OK
from tests.chaos.rig import Rig
from tests.conftest import Servers

FAULTS = int(os.environ.get("CHAOS_FAULTS", "40"))
SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)


def test_no_fault_loses_doubles_or_miscounts_an_event(
    own_servers: Callable[[], Servers], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    rig = Rig(own_servers(), Random(SEED))
    try:
        with rig.senders():
            done, recoveries = nemesis.run(rig, FAULTS)
        verdict = rig.settle()
    except BaseException as error:
        error.add_note(f"CHAOS_SEED={SEED} CHAOS_FAULTS={FAULTS}")
        raise
    finally:
        rig.end()
    history = rig.history
    line = (
        f"\nchaos: seed {SEED}, {sum(done.values())} faults of {len(done)} kinds, {verdict.acked} events promised in "
        f"{history.attempts[OK]} answers ({dict(history.attempts)}), {len(verdict.lost)} lost, "
        f"{len(verdict.doubled)} doubled, {len(verdict.miscounted)} miscounted; {len(history.poison)} poison and "
        f"{len(history.unreadable)} unreadable kept as dead letters; recovery p50 {_share(recoveries, 0.5):.2f}"
        f" s, p99 {_share(recoveries, 0.99):.2f} s; slowest answer {history.answer_seconds_max:.2f} s; "
        f"{time.monotonic() - began:.0f} s\n"
    )
    with capsys.disabled():
        sys.stdout.write(line)
    assert not verdict.faults(), f"CHAOS_SEED={SEED} CHAOS_FAULTS={FAULTS}: {verdict.faults()}"
    assert not verdict.stored < verdict.acked - len(history.poison)
    assert refused(history).isdisjoint(history.ids(OK))


def _share(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]
