"""What goes wrong, one thing after another, from a seed. In: a running rig. Out: each fault done, and recovered from.

FAULTS is the table: a name, and a function that does the fault and undoes what no supervisor would (a stopped server
continues, a full disk is emptied). After each one an event sent must be accepted and stored, by nobody's hand.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from schema import db
from tests.chaos import points
from tests.chaos.history import FAIL, OK, UNKNOWN
from tests.chaos.processes import HOLD, Process, drains, wait_for_death
from tests.chaos.queue import backlog
from tests.chaos.rig import ACCEPT_SECONDS, Rig
from tests.chaos.traffic import UNFORESEEN
from tests.tripstream.waiting import until
from workers.drain import LOCK_SPACE
from workers.verify import verify

SLACK_SECONDS = 1.5  # of a machine that does other things as well
STOPPED_SECONDS = 0.6
AUDIT_EVERY = 25  # faults
Fault = Callable[[Rig], None]


def run(rig: Rig, faults: int) -> tuple[Counter[str], list[float]]:
    """Do so many faults. Returns how many of each kind, and the seconds that each recovery took.

    Every now and then the books are compared while events flow, as `tripstream verify` does.
    """
    done: Counter[str] = Counter()
    seconds = []
    for name in _schedule(rig.chance, faults):
        try:
            FAULTS[name](rig)
            began = time.monotonic()
            rig.revive()
            rig.recovered()
            seconds.append(time.monotonic() - began)
            done[name] += 1
            if len(seconds) % AUDIT_EVERY == 0:
                assert not verify(rig.settings, lambda *_: None).problems
        except BaseException as error:
            error.add_note(f"after {len(seconds)} faults: {name}; {rig.web.words()}")
            raise
    return done, seconds


def _schedule(chance: Random, faults: int) -> Iterable[str]:
    """Every kind before any kind again, in an order of chance."""
    names: list[str] = []
    while len(names) < faults:
        names += chance.sample(list(FAULTS), len(FAULTS))
    return names[:faults]


def _crash(point: str, rig: Rig) -> None:
    """kill -9 of a drain at one point, by itself."""
    lane, process = _any_drain(rig)
    process.arm(point, rig.chance.randint(1, 3))
    if point == points.BISECTING:
        for _ in range(3):
            rig.poison(lane, **UNFORESEEN)
    wait_for_death(process, f"the drain reaches {point}")


def _kill_drain(rig: Rig) -> None:
    """kill -9 at any moment."""
    _, process = _any_drain(rig)
    time.sleep(rig.chance.random() / 10)  # the moment is the fault
    process.kill()


def _kill_chores(rig: Rig) -> None:
    """kill -9 of a rollup, or of the mirror, or between the two."""
    time.sleep(rig.chance.random() / 2)
    rig.chores.kill()


def _kill_ingest(rig: Rig) -> None:
    time.sleep(rig.chance.random() / 20)
    rig.web.kill()


def _kill_valkey(rig: Rig) -> None:
    rig.servers.valkey.kill()
    rig.servers.valkey.start()


def _tear_log(rig: Rig) -> None:
    """kill -9 of Valkey in the middle of writing a command that it had not answered."""
    rig.servers.valkey.kill()
    with rig.append_only_file().open("ab") as file:
        file.write(b"*3\r\n$4\r\nXADD\r\n$4\r\nev:0\r\n$17\r\nhalf of a comm"[: rig.chance.randint(5, 45)])
    rig.servers.valkey.start()


def _fill_disk(rig: Rig) -> None:
    """No room for the append-only file: Valkey cannot promise any more, and ends. Then there is room."""
    rig.servers.valkey.kill()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = rig.append_only_file().stat().st_size + rig.chance.randrange(1000, 20_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # which the server inherits
    try:
        rig.servers.valkey.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: rig.servers.valkey.poll() is not None, "Valkey gives up", 30)
    rig.servers.valkey.start()


def _stop_postgres_in_copy(rig: Rig) -> None:
    """pg_ctl stop -m immediate while a drain is in the middle of COPY."""
    _, process = _any_drain(rig)
    process.arm(points.COPYING, rig.chance.randint(1, 5), HOLD)
    until(process.held, "a drain is in COPY", 30)
    rig.servers.postgres.stop(immediate=True)
    process.go()
    rig.servers.postgres.start()


def _kill_postgres(rig: Rig) -> None:
    rig.servers.postgres.kill()
    rig.servers.postgres.start()


def _cut_connections(rig: Rig) -> None:
    """Postgres ends every session."""
    with db.connect(rig.settings, "owner") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _freeze_valkey(rig: Rig) -> None:
    """SIGSTOP: connections stay open and nobody answers. Accept says 503 in time."""
    pid = rig.servers.valkey.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert rig.post(rig.traffic.batch()) == UNKNOWN
        assert time.monotonic() - began < 2 * ACCEPT_SECONDS + SLACK_SECONDS, "the 503 came too late"
        time.sleep(rig.chance.random() * STOPPED_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)


def _freeze_postgres(rig: Rig) -> None:
    """SIGSTOP of Postgres and all its processes. Accept does not need it."""
    postmaster = rig.servers.postgres.pid
    os.kill(postmaster, signal.SIGSTOP)
    backends = _children(postmaster)
    try:
        _signal(backends, signal.SIGSTOP)
        for _ in range(3):
            assert rig.post(rig.traffic.batch()) == OK
        time.sleep(rig.chance.random() * STOPPED_SECONDS)
    finally:
        _signal(backends, signal.SIGCONT)
        os.kill(postmaster, signal.SIGCONT)


def _fill_valkey(rig: Rig) -> None:
    """maxmemory is reached: accept says 503; drains, one of them newly started, empty the queue all the same."""
    with rig.redis() as redis:
        before = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", redis.info("memory")["used_memory"])
        try:
            until(lambda: rig.post(rig.traffic.batch()) == FAIL, "accept says that the queue is full", 30)
            _any_drain(rig)[1].kill()
            rig.revive()
            until(lambda: backlog(redis, rig.settings) == 0, "a full Redis is drained", 30)
        finally:
            redis.config_set("maxmemory", before)


def _rival_drains(rig: Rig) -> None:
    """Two more drains for every lane, which do not respect the lanes' locks."""
    rivals = [Process(drains, rig.settings, sorted(rig.drains), False) for _ in range(2)]
    try:
        for _ in range(3):
            rig.recovered()
    finally:
        for rival in rivals:
            rival.end()


def _zombie(rig: Rig) -> None:
    """A drain stands still in the middle, another takes its entries over, then the first goes on."""
    lane, process = _any_drain(rig)
    point = rig.chance.choice((points.COPYING, points.WRITTEN, points.COMMITTED, points.DELETED))
    process.arm(point, 1, HOLD)
    until(process.held, f"a drain reaches {point}", 30)
    if point in points.UNCOMMITTED:  # its transaction would keep the other waiting: Postgres gives it up
        with db.connect(rig.settings, "owner") as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            connection.execute(query + " AND objid = %s", (LOCK_SPACE, lane))
    rival = rig.drain(lane, locked=False)
    try:
        until(lambda: rig.recovered() and rig.pending(lane) == 0, "the other takes over", 30)
        process.go()
    finally:
        rival.end()


def _poison(rig: Rig) -> None:
    """Entries that cannot be stored, or not even read, among the others."""
    for lane in rig.drains:
        rig.poison(lane)
        rig.unreadable(lane)


FAULTS: dict[str, Fault] = {
    **{f"drain killed: {point}": partial(_crash, point) for point in points.POINTS},
    "drain killed: any moment": _kill_drain,
    "chores killed": _kill_chores,
    "ingest killed": _kill_ingest,
    "Valkey killed": _kill_valkey,
    "Valkey killed, torn log": _tear_log,
    "Valkey out of disk": _fill_disk,
    "Valkey full": _fill_valkey,
    "Valkey stopped": _freeze_valkey,
    "Postgres immediate stop in COPY": _stop_postgres_in_copy,
    "Postgres killed": _kill_postgres,
    "Postgres stopped": _freeze_postgres,
    "Postgres sessions ended": _cut_connections,
    "drains without locks": _rival_drains,
    "zombie drain": _zombie,
    "poison": _poison,
}


def _any_drain(rig: Rig) -> tuple[int, Process]:
    return rig.chance.choice(sorted(rig.drains.items(), key=lambda item: item[0]))


def _children(pid: int) -> list[int]:
    shown = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = (line.split() for line in shown.stdout.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
