"""Losing power cannot be done here: killing a process leaves the kernel's page cache as it was. What can be shown is
the order in which the server does its work: it answers nobody between writing a promise down and syncing it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from tests.chaos.history import OK
from tests.chaos.rig import Rig
from tests.conftest import Servers
from tests.tripstream.waiting import until

STRACE = shutil.which("strace")
CALLS = ("write", "writev", "sendto", "fdatasync", "fsync")
CALL = re.compile(rf"^\d+ +({'|'.join(CALLS)})\((\d+)", re.MULTILINE)


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_no_answer_leaves_valkey_between_a_write_to_its_log_and_the_sync(
    own_servers: Callable[[], Servers], tmp_path: Path
) -> None:
    servers = own_servers()
    rig = Rig(servers, Random(1))
    calls = tmp_path / "calls"
    tracer = subprocess.Popen(
        [STRACE or "", "-f", "-e", f"trace={','.join(CALLS)}", "-o", calls, "-p", str(servers.valkey.pid)],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: tracer.poll() is not None or (calls.exists() and calls.stat().st_size), "strace is attached")
        if tracer.poll() is not None:
            pytest.skip("tracing is not permitted here")
        before = rig.history.attempts[OK]
        with rig.senders():
            until(lambda: rig.history.attempts[OK] >= before + 100, "a hundred batches are promised", 60)
    finally:
        tracer.terminate()
        tracer.wait(10)
        rig.end()
    found = CALL.findall(calls.read_text())
    synced = {descriptor for name, descriptor in found if name in ("fdatasync", "fsync")}
    assert len(synced) == 1, "one append-only file"
    assert _answers_before_sync(found, synced) == []
    assert sum(name == "fdatasync" for name, _ in found) > 20


def _answers_before_sync(calls: Iterable[tuple[str, str]], log: set[str]) -> list[tuple[int, str]]:
    unsynced, wrong = False, []
    for index, (name, descriptor) in enumerate(calls):
        if descriptor in log:
            unsynced = name in ("write", "writev")
        elif unsynced:
            wrong.append((index, name))
    return wrong
