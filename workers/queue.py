"""The control plane: small RQ jobs, two queues, an allow-list. In: job names as strings. Out: enqueued jobs, workers.

    rq:*    RQ's own keys. Results are not kept, failures for a day.

Jobs carry no data and may be lost or doubled: the clock asks again, and every job is harmless twice. JSON and the
allow-list, because an unpickled job, or a JSON job that names os.system, runs whatever its writer wants.
"""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from schema import collector, stream
from schema.settings import Settings

DRAIN = "drain"
CHORES = "chores"
DRAIN_JOB = "workers.jobs.drain_lane"
CHORE_JOB = "workers.jobs.run_chore"
ALLOWED = frozenset({DRAIN_JOB, CHORE_JOB})
_FAILURE_TTL_SECONDS = 86_400
_DRAIN_TTL_SECONDS = 30  # a drain that nobody took by then is enqueued afresh by the clock
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


class Worker(SimpleWorker):
    """Runs jobs in its own process: there is no horse to outlive a killed worker, and no 11 ms for a fork."""

    def handle_warm_shutdown_request(self) -> None:
        stopping.set()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]  # RQ leaves it untyped


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

    A full Redis refuses RQ every write, so that no job starts; then the drain works without RQ until there is room.
    """
    from workers import jobs  # it imports this module

    collector.spare()
    with stream.connect(settings.redis_url, seconds_max=30.0) as redis:
        while not stopping.is_set():
            worker = Worker(
                [queue(redis, name)],
                name=f"{name}-{uuid.uuid4().hex}",
                connection=redis,
                job_class=AllowedJob,
                serializer=JSONSerializer,
                worker_ttl=60,
                log_job_description=False,
            )
            try:
                worker.work(logging_level="WARNING")
            except RedisError as error:
                logger.warning("worker stopped", extra={"error": type(error).__name__})
            if stopping.is_set() or worker._stop_requested:
                return 0
            if name != DRAIN or not stream.is_full(redis):
                return 1
            jobs.drain_plainly(settings)
    return 0


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
