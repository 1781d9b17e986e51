"""The control plane: small RQ jobs, two queues, an allow-list. In: job names as strings. Out: enqueued jobs, workers.

    rq:*    RQ's own keys. Results are not kept, failures for a day.

Jobs carry no data and may be lost or doubled: the clock asks again, and every job is harmless twice. JSON and the
allow-list, because an unpickled job, or a JSON job that names os.system, runs whatever its writer wants.
"""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from typing import Any

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from schema import collector, stream
from schema.errors import StorageError
from schema.settings import Settings

DRAIN = "drain"
CHORES = "chores"
DRAIN_JOB = "workers.jobs.drain_lane"
CHORE_JOB = "workers.jobs.run_chore"
ALLOWED = frozenset({DRAIN_JOB, CHORE_JOB})
_FAILURE_TTL_SECONDS = 86_400
_DRAIN_TTL_SECONDS = 30  # a drain that nobody took by then is enqueued afresh by the clock
_PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX = 0.25, 5.0  # between tries while Redis or Postgres is away
logger = logging.getLogger("tripstream.worker")

stopping = threading.Event()
"""Set when this worker process was asked to stop; a drain under way looks at it between reads."""


class AllowedJob(Job):
    """A job that runs only if its function is on the list."""

    @property
    def func(self) -> Any:
        if self.func_name not in ALLOWED:
            raise PermissionError(f"job function {self.func_name!r} is not on the allow-list")
        return super().func


class Outage:
    """Redis or Postgres being away: told once, however often it is tried again after growing pauses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.over()

    def over(self) -> None:
        self._told, self._pause = False, _PAUSE_SECONDS_MIN

    def wait(self, why: str) -> None:
        """Until the next try is due, or we are asked to stop."""
        if not self._told and not stopping.is_set():
            logger.warning("the worker waits", extra={"queue": self.name, "why": why})
        stopping.wait(self._pause)
        self._told, self._pause = True, min(self._pause * 2, _PAUSE_SECONDS_MAX)


class Worker(SimpleWorker):
    """Runs jobs in its own process: there is no horse to outlive a killed worker, and no 11 ms for a fork."""

    lost: RedisError | None = None  # what cut it off from Redis while it waited for work
    outage: Outage | None = None  # over with the first heartbeat

    def handle_warm_shutdown_request(self) -> None:
        stopping.set()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]  # RQ leaves it untyped

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """As RQ's; but a worker that waits for work ends when this fails: RQ would try again after 1, 2, 4 … 60 s, say
        so each time, and hear of no signal meanwhile. So it does when it was asked to before RQ's handlers were there:
        RQ knows nothing of that, and would wait for work for most of a minute."""
        if stopping.is_set() and self.get_state() == WorkerStatus.IDLE:
            raise StopRequested
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            if self.get_state() != WorkerStatus.IDLE:
                raise
            self.lost = error
            raise StopRequested from error
        if self.outage and pipeline is None:
            self.outage.over()

    def subscribe(self) -> None:
        """To no commands: nobody sends any, and RQ leaves the listening thread behind when Redis goes away."""


def queue(redis: Redis, name: str) -> Queue:
    """One of the two queues."""
    return Queue(name, connection=redis, serializer=JSONSerializer, job_class=AllowedJob)


def enqueue_drain(redis: Redis, lane: int, settings: Settings) -> None:
    """Ask for one drain of a lane."""
    timeout = settings.drain_seconds_max + 60
    _enqueue(queue(redis, DRAIN), DRAIN_JOB, [lane], f"drain-{lane}", timeout, _DRAIN_TTL_SECONDS)


def enqueue_chore(redis: Redis, name: str, slot: str, timeout_seconds: int, ttl_seconds: int) -> None:
    """Ask for one run of a chore; `slot` is its tick, as ISO 8601. It may wait for a worker until its next tick."""
    _enqueue(queue(redis, CHORES), CHORE_JOB, [name, slot], f"chore-{name}", timeout_seconds, ttl_seconds)


def queued_lanes(redis: Redis) -> set[int]:
    """Lanes that have a drain waiting to be taken."""
    return {int(job_id.split("-")[1]) for job_id in queue(redis, DRAIN).job_ids if job_id.startswith("drain-")}


def work(settings: Settings, name: str) -> int:
    """Be a worker of one queue until asked to stop. Returns the exit code.

    Redis or Postgres being away costs time, however long, and one line in the log. A full Redis refuses RQ every
    write, so that no job starts; then the drain works without RQ until there is room.
    """
    collector.spare()
    _heed_signals()
    outage = Outage(name)
    with stream.connect(settings.redis_url, seconds_max=30.0) as redis:
        while not stopping.is_set():
            try:
                if not _work_once(redis, name, settings, outage):
                    return int(not stopping.is_set())
            except (RedisError, psycopg.Error, StorageError, OSError) as error:
                outage.wait(type(error).__name__)
    return 0


def _work_once(redis: Redis, name: str, settings: Settings, outage: Outage) -> bool:
    """Work until something ends it. Returns whether to go on; raises what it was cut off by."""
    from workers import jobs  # it imports this module

    cut_off = None
    try:
        worker = Worker(
            [queue(redis, name)],
            name=f"{name}-{uuid.uuid4().hex}",
            connection=redis,
            job_class=AllowedJob,
            serializer=JSONSerializer,
            worker_ttl=60,
            log_job_description=False,
        )
        worker.outage = outage
        worker.work(logging_level="WARNING")
        cut_off = worker.lost
    except RedisError as error:
        cut_off = error
    finally:
        _heed_signals()
    if stopping.is_set():
        return False
    if name == DRAIN and stream.is_full(redis):
        jobs.drain_plainly(settings)
        outage.wait("Redis is full: the drain works without RQ")
        return True
    if cut_off:
        raise cut_off
    return False


def _heed_signals() -> None:
    """For when no worker of RQ's runs: its handlers, once installed, raise into whatever does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())


def _enqueue(to: Queue, function: str, args: list[Any], prefix: str, timeout_seconds: int, ttl_seconds: int) -> None:
    to.enqueue_call(
        function,
        args=args,
        job_id=f"{prefix}-{uuid.uuid4().hex[:12]}",
        timeout=timeout_seconds,
        result_ttl=0,
        failure_ttl=_FAILURE_TTL_SECONDS,
        ttl=ttl_seconds,
    )
