"""The control plane under faults: real RQ workers, the real clock, killed in the middle. Nobody lends a hand.

RQ's worker is a SimpleWorker: the job runs in the worker's process, so there is no horse to kill apart from it. A job
that died is lost to RQ, which may call it abandoned much later; the clock has asked for the next one by then.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from schema import db
from schema.settings import Settings
from tests.chaos import points
from tests.chaos.processes import HOLD, Process, end_all, ticker, wait_for_death, worker
from tests.chaos.queue import Queue
from tests.conftest import Servers
from tests.tripstream.waiting import until
from workers.queue import CHORES, DRAIN


class Crew(Queue):
    """Two RQ workers and the clock, started again when they end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Random(1))
        self.processes = {name: self._new(name) for name in (DRAIN, CHORES, "clock")}

    @property
    def drainer(self) -> Process:
        return self.processes[DRAIN]

    def _new(self, name: str) -> Process:
        if name == "clock":
            return Process(ticker, self.settings)
        return Process(worker, self.settings, name)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for it, being the supervisor meanwhile."""

        def supervised() -> object:
            for name, process in self.processes.items():
                if process.code is not None:
                    process.end()
                    self.processes[name] = self._new(name)
            return condition()

        try:
            until(supervised, what, 60)
        except AssertionError as error:
            error.add_note(self.drainer.words())
            raise

    def drained(self) -> None:
        self.until(lambda: self.backlog() == 0, "the lane runs empty")

    def end(self) -> None:
        end_all(self.processes.values())


def test_killed_workers_and_servers_cost_seconds_and_no_event(own_servers: Callable[[], Servers]) -> None:
    servers = own_servers()
    crew = Crew(servers.settings(lanes=1))
    try:
        _kill_one_after_another(crew, servers)
    finally:
        crew.end()
    assert not crew.verdict().faults()


def _kill_one_after_another(crew: Crew, servers: Servers) -> None:
    crew.fill(10)
    crew.drained()
    crew.drainer.arm(points.COPYING)
    crew.fill(10)
    wait_for_death(crew.drainer, "the worker is in COPY")
    crew.drained()
    crew.drainer.arm(points.COMMITTED)
    crew.fill(10)
    wait_for_death(crew.drainer, "the worker has committed")
    servers.postgres.stop(immediate=True)
    servers.postgres.start()
    crew.drained()
    crew.processes["clock"].kill()
    crew.fill(10)
    servers.valkey.kill()
    servers.valkey.start()
    crew.fill(10)
    crew.drained()
    crew.until(lambda: _mirrored(crew), "the clock's chores are done, too")


def test_a_worker_goes_on_without_rq_while_redis_is_full(settings: Settings) -> None:
    crew = Crew(settings.model_copy(update={"lanes": 1}))
    try:
        _fill_redis(crew)
    finally:
        crew.end()
    assert not crew.verdict().faults()


def _fill_redis(crew: Crew) -> None:
    crew.fill(5)
    crew.drained()
    crew.drainer.arm(points.READ, action=HOLD)
    crew.fill(5)
    until(crew.drainer.held, "the worker has read something")
    crew.fill(30)
    with crew.redis() as redis:
        before = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", redis.info("memory")["used_memory"])
        try:
            pid = crew.drainer.pid
            crew.drainer.go()
            crew.drained()
            assert crew.drainer.pid == pid, "it was the same worker"
        finally:
            redis.config_set("maxmemory", before)
    crew.fill(5)
    crew.drained()


def _mirrored(crew: Crew) -> bool:
    """Whether what was accepted so far has been copied into Postgres, by a chore that ended well."""
    query = "SELECT FROM clock_ticks WHERE chore = 'mirror' AND finished_at IS NOT NULL AND error IS NULL"
    with db.connect(crew.settings) as connection, crew.redis() as redis:
        accepted = int(redis.hget("accepted:default", "events") or 0)
        rows = connection.execute("SELECT accepted FROM accepted_mirror").fetchall()
        return bool(connection.execute(query).fetchall()) and rows == [(accepted,)]
