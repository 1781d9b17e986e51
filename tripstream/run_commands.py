"""The commands that are processes: one line of the Procfile each. In: settings. Out: a process that runs until told
to stop. Heavy modules are imported by the command that needs them, so that no process carries another's weight.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Annotated

import typer

from schema import collector
from schema import settings as config
from schema.errors import StorageError
from schema.settings import Settings
from tripstream import log
from tripstream.children import step_back
from tripstream.running import connect

app = typer.Typer()
logger = logging.getLogger("tripstream.drain")
Descriptor = Annotated[int | None, typer.Option(help="Inherited listening socket.", hidden=True)]
Started = Annotated[int | None, typer.Option(help="Inherited pipe, to say that we accept.", hidden=True)]


@app.command()
def web(fd: Descriptor = None, started_fd: Started = None) -> None:
    """Serve everything over HTTP: ingest, reports, documentation."""
    from tripstream import serve  # uvicorn
    from tripstream.app import create  # FastAPI

    settings = _settings()
    serve.serve(create(settings), settings, fd, started_fd)


@app.command()
def ingest(fd: Descriptor = None) -> None:
    """Serve only what accepts events: needs Redis, not Postgres."""
    from ingest.app import create  # FastAPI
    from tripstream import serve  # uvicorn

    settings = _settings("redis_url")
    serve.serve(create(settings), settings, fd)


@app.command()
def worker(queue: Annotated[str, typer.Argument(help="drain or chores")]) -> None:
    """Run one RQ worker: of the drains, or of the chores."""
    from workers import queue as rq_queue  # RQ

    if queue not in (rq_queue.DRAIN, rq_queue.CHORES):
        raise typer.BadParameter("the queues are drain and chores", param_hint="queue")
    step_back(10)  # accepting goes first: what is queued is safe
    sys.exit(rq_queue.work(_settings(), queue))


@app.command()
def clock() -> None:
    """Run the clock, which enqueues drains and chores. Two of them do no harm."""
    from workers import clock as ticker  # RQ

    ticker.run(_settings(), _stopped_by_signal())


@app.command()
def drain(
    until_empty: Annotated[bool, typer.Option(help="Stop when nothing is queued.")] = False,
) -> None:
    """Drain every lane in this process, without RQ: works when Redis is too full for RQ.

    While Redis or Postgres is away it waits; with --until-empty it fails.
    """
    from psycopg import Error
    from redis.exceptions import RedisError

    from schema.db import first_line
    from workers import jobs  # RQ comes with it

    settings, stop = _settings(), _stopped_by_signal()
    collector.spare()
    total, told = 0, False
    while not stop():
        try:
            total += jobs.drain_plainly(settings)
            told = False
        except (StorageError, Error, RedisError, OSError) as error:
            if until_empty:
                raise
            if not told:
                logger.warning("the drain waits", extra={"error": first_line(error)})
            told = True
            stop.wait(2)
        if until_empty or stop.wait(0.2):
            break
    typer.echo(f"{total} events and requests drained")


def _settings(*needed: str) -> Settings:
    """The settings in force, also for jobs, which read the environment; and logs as JSON lines."""
    log.configure()
    settings = connect(config.load(), *needed)
    os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = settings.database_url, settings.redis_url
    return settings


class _Stop(threading.Event):
    """Set by SIGTERM or SIGINT; called, it says whether it is set."""

    def __call__(self) -> bool:
        return self.is_set()


def _stopped_by_signal() -> _Stop:
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
