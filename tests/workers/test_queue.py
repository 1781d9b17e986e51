"""The control plane: two queues of harmless jobs, an allow-list, nothing kept that nobody needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from schema import stream
from schema.errors import StorageError
from schema.settings import Settings
from tests.make import batch, canonical
from tests.tripstream.waiting import until
from tests.workers.pipeline import Pipeline
from tripstream.embedded_valkey import Valkey
from workers import clock, jobs, queue

DONE = "SELECT (SELECT count(*) FROM events), (SELECT count(finished_at) FROM clock_ticks)"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A worker takes over the signals of its process; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    queue.stopping.clear()


def burst(pipe: Pipeline, name: str) -> None:
    """Work off a queue with the worker that we run, until it is empty."""
    worker = queue.Worker(
        [queue.queue(pipe.redis, name)], connection=pipe.redis, job_class=queue.AllowedJob, serializer=JSONSerializer
    )
    worker.work(burst=True, logging_level="CRITICAL")


def plant(pipe: Pipeline, name: str, function: str, args: list[object]) -> str:
    """A job as anyone who can write to Redis could queue it."""
    job = Job.create(function, args=args, connection=pipe.redis, serializer=JSONSerializer, result_ttl=500)
    job.origin = name
    job.save()
    pipe.redis.rpush(f"rq:queue:{name}", job.id)
    return job.id


def status(pipe: Pipeline, job_id: str) -> JobStatus | None:
    return Job.fetch(job_id, connection=pipe.redis, serializer=JSONSerializer).get_status()


def test_a_chore_is_run_and_leaves_nothing_but_its_tick(pipe: Pipeline, environment: Settings) -> None:
    pipe.connection.execute("INSERT INTO clock_ticks (chore, slot) VALUES ('partitions', '2026-01-02T02:00Z')")
    queue.enqueue_chore(pipe.redis, "partitions", "2026-01-02T02:00:00+00:00", 60, 60)
    burst(pipe, queue.CHORES)
    assert pipe.value("SELECT finished_at IS NOT NULL AND error IS NULL FROM clock_ticks")
    assert pipe.redis.keys("rq:job:*") == pipe.redis.keys("rq:results:*") == []


def test_a_function_that_is_not_on_the_list_is_never_run(pipe: Pipeline, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    functions = ("os.system", "workers.jobs.drain_plainly", "workers.queue.work", "builtins.eval")
    planted = {plant(pipe, queue.CHORES, function, [f"touch {trace}"]) for function in functions}
    burst(pipe, queue.CHORES)
    assert not trace.exists()
    assert {status(pipe, job_id) for job_id in planted} == {JobStatus.FAILED}
    failed = FailedJobRegistry(queue=queue.queue(pipe.redis, queue.CHORES))
    assert set(failed.get_job_ids()) == planted


def test_a_pickled_job_is_not_unpickled(pipe: Pipeline, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = Job.create("os.system", args=[f"touch {trace}"], connection=pipe.redis)  # RQ's default serializer is pickle
    job.save()
    pipe.redis.rpush("rq:queue:chores", job.id)
    burst(pipe, queue.CHORES)
    assert not trace.exists()


def test_a_failed_job_is_kept_for_a_day_and_no_longer(pipe: Pipeline, environment: Settings) -> None:
    queue.enqueue_chore(pipe.redis, "nothing", "2026-01-02T02:00:00+00:00", 60, 60)
    burst(pipe, queue.CHORES)
    (key,) = pipe.redis.keys("rq:job:*")
    assert 0 < pipe.redis.ttl(key) <= 86_400
    assert FailedJobRegistry(queue=queue.queue(pipe.redis, queue.CHORES)).count == 1


def test_a_job_that_nobody_takes_expires_when_it_would_be_asked_for_again(pipe: Pipeline) -> None:
    queue.enqueue_drain(pipe.redis, 0, pipe.settings)
    (key,) = pipe.redis.keys("rq:job:*")
    assert 0 < pipe.redis.ttl(key) <= 30
    at = datetime(2026, 1, 2, 12, tzinfo=UTC)
    clock.run_once(pipe.connection, pipe.redis, pipe.redis, pipe.settings, at)
    waits = {job.args[0]: pipe.redis.ttl(job.key) for job in queue.queue(pipe.redis, queue.CHORES).jobs}
    every = {chore.name: chore.every.total_seconds() for chore in clock.CHORES}
    assert waits.keys() == every.keys()
    assert [name for name, left in waits.items() if not every[name] - 5 <= left <= every[name]] == []


def test_an_expired_job_is_passed_over(pipe: Pipeline, environment: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "drain_lane", lambda lane: pipe.redis.rpush("drained", lane))
    for lane in (0, 1):
        queue.enqueue_drain(pipe.redis, lane, pipe.settings)
    first = queue.queue(pipe.redis, queue.DRAIN).job_ids[0]
    pipe.redis.delete(f"rq:job:{first}")
    burst(pipe, queue.DRAIN)
    assert pipe.redis.lrange("drained", 0, -1) == [b"1"]
    assert queue.queued_lanes(pipe.redis) == set()


def test_lanes_that_wait_for_a_drain_are_known(pipe: Pipeline) -> None:
    for lane in (0, 17):
        queue.enqueue_drain(pipe.redis, lane, pipe.settings)
    queue.enqueue_chore(pipe.redis, "mirror", "2026-01-02T02:00:00+00:00", 60, 60)
    assert queue.queued_lanes(pipe.redis) == {0, 17}


def test_the_same_drain_may_be_asked_for_again_after_one_failed(pipe: Pipeline) -> None:
    for _ in range(2):
        queue.enqueue_drain(pipe.redis, 0, pipe.settings)
    assert len(queue.queue(pipe.redis, queue.DRAIN).job_ids) == 2


def test_a_drain_job_may_take_longer_than_a_drain_lives(pipe: Pipeline) -> None:
    queue.enqueue_drain(pipe.redis, 0, pipe.settings)
    (job,) = queue.queue(pipe.redis, queue.DRAIN).jobs
    assert job.timeout > pipe.settings.drain_seconds_max + 45
    assert job.retries_left is None
    assert (job.result_ttl, job.failure_ttl) == (0, 86_400)


def test_a_worker_that_is_asked_to_stop_tells_the_drain(pipe: Pipeline) -> None:
    worker = queue.Worker([queue.queue(pipe.redis, queue.DRAIN)], connection=pipe.redis)
    worker.handle_warm_shutdown_request()
    assert queue.stopping.is_set()


def test_a_worker_that_is_asked_to_stop_before_it_waits_for_work_does_not_wait(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = queue.Worker.register_birth

    def asked_meanwhile(worker: queue.Worker) -> None:
        born(worker)
        os.kill(os.getpid(), signal.SIGTERM)  # our handler hears it: RQ's are not there yet

    monkeypatch.setattr(queue.Worker, "register_birth", asked_meanwhile)
    monkeypatch.setattr(queue.Worker, "_install_signal_handlers", lambda _: None)
    began = time.monotonic()
    assert queue.work(pipe.settings, queue.CHORES) == 0
    assert time.monotonic() - began < 10


def test_a_worker_whose_redis_is_full_drains_without_rq(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[Settings] = []

    class Dead(queue.Worker):
        def work(self, *_: object, **__: object) -> bool:
            from redis.exceptions import OutOfMemoryError  # as RQ raises it on its first write

            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'")

    def drain_plainly(of: Settings) -> None:
        drained.append(of)
        if len(drained) == 2:
            queue.stopping.set()

    monkeypatch.setattr(queue, "Worker", Dead)
    monkeypatch.setattr(queue.stream, "is_full", lambda _: True)
    monkeypatch.setattr(jobs, "drain_plainly", drain_plainly)
    assert queue.work(settings, queue.DRAIN) == 0
    assert drained == [settings, settings]


def test_an_error_that_is_not_an_outage_ends_the_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue.Worker, "work", lambda *_, **__: False)  # RQ logs what it was, and returns
    assert queue.work(settings, queue.CHORES) == 1


def test_workers_outlive_outages_of_redis_and_say_so_once_each(pipe: Pipeline, state: Path, tmp_path: Path) -> None:
    """Redis is away at the start, comes, goes, and comes again; work is done each time."""
    valkey = Valkey(state)
    environment = os.environ | {"DATABASE_URL": pipe.settings.database_url, "REDIS_URL": valkey.url()}
    logs = {name: tmp_path / name for name in (queue.DRAIN, queue.CHORES)}
    workers = []
    for name, path in logs.items():
        with path.open("wb") as log:
            command = [sys.executable, "-m", "tripstream", "worker", name]
            workers.append(subprocess.Popen(command, env=environment, stderr=log))
    told = dict.fromkeys(logs, 0)

    def tell_of_outage(which: int) -> bool:
        told.update((name, log.read_text().count("the worker waits")) for name, log in logs.items())
        return set(told.values()) == {which}

    try:
        for outage in (1, 2):
            until(lambda outage=outage: tell_of_outage(outage), "both noticed")
            time.sleep(2)  # several tries
            valkey.start()
            with stream.connect(valkey.url()) as redis:
                stream.open_lanes(redis, 1)
                stream.append(redis, 0, batch(canonical(outage), n=outage))
                slot = f"2026-01-0{outage}T02:00:00+00:00"
                pipe.connection.execute("INSERT INTO clock_ticks (chore, slot) VALUES ('mirror', %s)", (slot,))
                queue.enqueue_drain(redis, 0, pipe.settings)
                queue.enqueue_chore(redis, "mirror", slot, 60, 60)
            until(lambda outage=outage: pipe.row(DONE) == (outage, outage), "the work is done")
            valkey.stop()
        until(lambda: tell_of_outage(3), "both noticed")
    finally:
        valkey.stop()
        for one in workers:
            one.terminate()
    assert [one.wait(30) for one in workers] == [0, 0]


def test_postgres_being_away_while_redis_is_full_does_not_end_the_drain(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def drain_plainly(_: Settings) -> None:
        tries.append(1)
        if len(tries) == 2:
            queue.stopping.set()
        raise StorageError

    monkeypatch.setattr(queue.Worker, "work", lambda *_, **__: False)
    monkeypatch.setattr(queue.stream, "is_full", lambda _: True)
    monkeypatch.setattr(jobs, "drain_plainly", drain_plainly)
    assert queue.work(settings, queue.DRAIN) == 0
    assert len(tries) == 2
