"""The port belongs to `tripstream up`, and its web processes come and go behind it: real ones, on real servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from schema.settings import Settings
from tests.tripstream.starting import Up, web_pids
from tests.tripstream.waiting import gone, until
from tripstream.up import layers

REFUSED, CUT, ANSWERED = "refused", "cut", "answered"
ROOT = Path(__file__).parents[2]

Start = Callable[..., Up]


@pytest.fixture
def start(settings: Settings, up: Start) -> Start:
    """The whole stack, on the servers that every test shares."""
    given = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    return lambda **variables: up(module="tripstream", **given, **variables).is_up()


def connect(one: Up) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(one.environment["TRIPSTREAM_PORT"])), timeout=60)


def refuses(one: Up) -> bool:
    """Whether nobody would take a connection, not even to let it wait."""
    try:
        connect(one).close()
    except ConnectionRefusedError:
        return True
    return False


def knock(one: Up) -> str:
    """Connect, ask whether it is alive, and wait for the answer."""
    try:
        connection = connect(one)
    except ConnectionRefusedError:
        return REFUSED
    with connection:
        try:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = connection.recv(100)
        except ConnectionError:
            return CUT  # accepted by a process that then died
    return ANSWERED if answer.startswith(b"HTTP/1.1 200") else CUT


@contextmanager
def knocking(one: Up) -> Iterator[Counter[str]]:
    """A client that connects again and again; what became of it."""
    outcomes: Counter[str] = Counter()
    enough = Event()

    def again_and_again() -> None:
        while not enough.wait(0.005):
            outcomes[knock(one)] += 1

    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(again_and_again)
        try:
            until(lambda: outcomes[ANSWERED], "the first answer")
            yield outcomes
        finally:
            enough.set()
        client.result()


def stopped(pid: int) -> bool:
    """Whether SIGSTOP has taken effect."""
    shown = subprocess.run(["/bin/ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return shown.stdout.startswith("T")


def test_a_web_process_that_ends_costs_its_own_requests_and_refuses_no_connection(start: Start) -> None:
    one = start()
    with knocking(one) as outcomes:
        for number in (signal.SIGKILL, signal.SIGTERM):
            (pid,) = web_pids(one)
            os.kill(pid, number)
            until(lambda pid=pid: gone(pid), "it ends")
            assert knock(one) == ANSWERED  # by its successor
    for code in (9, 15):
        assert f"web ended with -{code}; starting it again" in one.log()
    assert outcomes[REFUSED] == 0
    assert outcomes[CUT] <= 2  # one connection at a time, two deaths
    one.process.terminate()
    assert one.ends() == 0
    assert refuses(one)


def test_each_of_two_web_processes_answers_and_is_started_again_by_itself(start: Start) -> None:
    one = start(TRIPSTREAM_WEB_PROCESSES="2")
    pids = web_pids(one)
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        until(lambda pid=pid: stopped(pid), "it stands still")
        assert knock(one) == ANSWERED  # by the other one
        os.kill(pid, signal.SIGCONT)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: re.search(r"web\.[12] ended with -9; starting it again", one.log()), "its end is noticed")
    until(lambda: len(web_pids(one)) == 2, "there are two again")
    assert pids[0] not in web_pids(one)
    assert pids[1] in web_pids(one)
    one.process.terminate()
    assert one.ends() == 0
    assert refuses(one)


def test_once_up_stops_connections_are_refused_though_its_servers_take_their_time(up: Start) -> None:
    one = up().is_up()  # no web process: only the socket of `up` itself
    assert not refuses(one)
    (pid_file,) = one.state.glob("pg*/postmaster.pid")
    postgres = int(pid_file.read_text().split()[0])
    os.kill(postgres, signal.SIGSTOP)
    try:
        one.process.terminate()
        until(lambda: refuses(one), "the port is closed")
        assert one.process.poll() is None
    finally:
        os.kill(postgres, signal.SIGCONT)
    assert one.ends() == 0


def test_a_web_process_is_ready_once_it_has_said_that_it_accepts_whoever_answers_on_the_port(state: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    async def watch() -> list[list[bool]]:
        listener = socket.create_server(("127.0.0.1", 0))
        settings = Settings(state=state, port=listener.getsockname()[1], web_processes=2)
        web = layers(settings, listener)[0]
        seen = []
        async with await asyncio.start_server(answer, sock=listener):
            seen.append([await app.ready() for app in web if app.ready])
            for app in web:
                os.write(app.inherits[1], b".")
                seen.append([await app.ready() for app in web if app.ready])
        return seen

    assert asyncio.run(watch()) == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize(("set_to", "port"), [({}, "8001"), ({"INGEST_PORT": "9001"}, "9001")])
def test_ingest_and_web_have_ports_of_their_own_in_the_procfile(
    tmp_path: Path, set_to: dict[str, str], port: str
) -> None:
    stub = tmp_path / "tripstream"
    stub.write_text('#!/bin/sh\necho "$1 $TRIPSTREAM_PORT"\n')
    stub.chmod(0o755)
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    environment = {"PATH": f"{tmp_path}:/bin:/usr/bin", "TRIPSTREAM_PORT": "8000"} | set_to
    said = [
        subprocess.run(["/bin/sh", "-c", lines[name]], env=environment, capture_output=True, text=True, check=True)
        for name in ("web", "ingest")
    ]
    assert [one.stdout for one in said] == ["web 8000\n", f"ingest {port}\n"]
