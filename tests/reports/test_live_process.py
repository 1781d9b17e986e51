"""Live figures from the web process as it is run: five hundred listen, one more takes nothing, and all end with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema import sites
from schema.event import now
from schema.settings import Settings
from tests.make import canonical
from tests.tripstream.starting import free_port
from tests.tripstream.waiting import until
from tests.workers.pipeline import Pipeline

LISTENERS = 500
REQUEST = b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Web:
    """`tripstream web` on a port of its own."""

    def __init__(self, running: subprocess.Popen[bytes], port: int) -> None:
        self.running, self.port = running, port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def answers(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True


@pytest.fixture
def web(settings: Settings, tmp_path: Path) -> Iterator[Web]:
    sites.announce(settings)
    port = free_port()
    named = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "TRIPSTREAM_STATE": str(tmp_path)}
    environment = os.environ | named | {"TRIPSTREAM_PORT": str(port)}
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "tripstream", "web"], env=environment, stdout=log, stderr=log)
    try:
        found = Web(running, port)
        until(found.answers, "it serves", 60)
        yield found
    finally:
        running.kill()
        running.wait()


async def listen(port: int, heard: dict[int, int], number: int) -> None:
    """Until the server ends it; of how many events the last figures knew."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                heard[number] = json.loads(line[6:])["lastHalfHour"]["events"]
    finally:
        writer.close()


async def all_know(heard: dict[int, int], events: int) -> None:
    """Wait until every one of them does."""
    deadline = time.monotonic() + 30
    while len(heard) < LISTENERS or min(heard.values()) < events:
        assert time.monotonic() < deadline, "somebody is not told"
        await asyncio.sleep(0.02)


def test_five_hundred_are_told_and_end_with_the_server(web: Web, pipe: Pipeline) -> None:
    idle = web.connect()  # it listens and never takes a byte; there is room for a while in what the kernel holds
    idle.sendall(REQUEST)

    async def listening() -> None:
        heard: dict[int, int] = {}
        tasks = [asyncio.create_task(listen(web.port, heard, number)) for number in range(LISTENERS)]
        await all_know(heard, 0)
        for n in range(3):
            await asyncio.to_thread(pipe.send, canonical(n, occurred_at=now()))
            await all_know(heard, n + 1)
        web.running.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*tasks), 10)

    asyncio.run(listening())
    assert web.running.wait(10) == -signal.SIGTERM  # uvicorn ends by the signal that ended it
    idle.close()
