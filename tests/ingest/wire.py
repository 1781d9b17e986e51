"""The ingest process as it is run, and sockets to it that follow no rules. In: a queue. Out: raw answers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schema.settings import Settings

ROOT = Path(__file__).parents[2]
CLIENT = "127.0.0.53"  # tells the sender's address from everything else on this machine
SECONDS = 0.5  # for a request's head, and again for its body


class Process:
    """`tripstream ingest` on a port of its own."""

    def __init__(self, port: int, running: subprocess.Popen[bytes], log: Path) -> None:
        self.port = port
        self.running = running
        self.log = log

    def connect(self) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(20)
        connection.bind((CLIENT, 0))
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, *parts: bytes, end: bool = False) -> bytes:
        """Send; with `end`, nothing more will come. Returns all that is answered until the server closes."""
        with self.connect() as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except OSError:  # it has heard enough
                    break
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def memory_peak(self) -> int:
        """The most it ever held in memory, in bytes."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionError:
        pass
    return found


def statuses(answer: bytes) -> list[int]:
    """The status of each response in it."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def post(content: bytes, *headers: bytes, path: bytes = b"/api/events/batch", length: int | None = None) -> bytes:
    """A request with a length, after which the connection is to be closed."""
    said = b"Content-Length: %d" % (len(content) if length is None else length)
    return b"\r\n".join([b"POST %s HTTP/1.1" % path, b"Host: x", b"Connection: close", said, *headers, b"", content])


@contextmanager
def running(settings: Settings, log: Path) -> Iterator[Process]:
    """Started, answering, and ended in the orderly way."""
    environment = os.environ | {"REDIS_URL": settings.redis_url, "TRIPSTREAM_BODY_SECONDS_MAX": str(SECONDS)}
    with socket.socket() as listener, log.open("wb") as to:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        command = [sys.executable, "-m", "tripstream", "ingest", "--fd", str(listener.fileno())]
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()], stdout=to, stderr=subprocess.STDOUT
        )
        try:
            process = Process(listener.getsockname()[1], child, log)
            listener.close()
            assert statuses(process.ask(b"GET /healthz HTTP/1.0\r\n\r\n")) == [200], log.read_text()
            yield process
        finally:
            child.terminate()
            child.wait(20)
