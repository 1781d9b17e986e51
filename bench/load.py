"""The load generator: one process, one epoll loop, keep-alive connections, requests rendered before the clock starts.

In: a Plan on stdin. Out: a Result on stdout, both JSON. It spends about a tenth of what the server spends on a
request, so two cores are enough for both. What holds: every answer was read whole and had the wanted status; with a
rate (open loop) a latency counts from when the request was due, so a stall of the server is not hidden by waiting.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.servers import ROOT
from bench.traffic import Post

_LENGTH = b"content-length: "
_PATIENCE_SECONDS = 30.0


class Plan(msgspec.Struct, kw_only=True):
    """What to send where. Closed loop without `rate`: each connection sends as soon as it was answered, until
    `seconds` have passed or `once` all requests were sent. With `rate`: so many a second, evenly."""

    port: int
    requests: str
    connections: int
    seconds: float = 5.0
    once: bool = False
    rate: float = 0.0
    status: int = 202


class Result(msgspec.Struct, kw_only=True):
    """`latencies_ms` are sorted. `errors` are answers of another status, and connections that broke. `began_at` is
    time.time() at the first request."""

    began_at: float
    answered: int
    errors: int
    seconds: float
    cpu_seconds: float
    latencies_ms: list[float]

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in ms below which that share of requests was answered."""
        return self.latencies_ms[min(int(share * len(self.latencies_ms)), len(self.latencies_ms) - 1)]


@contextmanager
def rendered(posts: Iterable[Post], path: str) -> Iterator[str]:
    """A file of whole HTTP requests, for `Plan.requests`."""
    with tempfile.NamedTemporaryFile(prefix="tripbench-load-", suffix=".msgpack") as file:
        file.write(msgspec.msgpack.encode([_render(post, path) for post in posts]))
        file.flush()
        yield file.name


def run(plan: Plan) -> Result:
    """Send it from a process of its own."""
    return finish(start(plan))


def start(plan: Plan) -> subprocess.Popen[bytes]:
    """Begin sending; `finish` waits for the end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdin  # noqa: S101
    child.stdin.write(msgspec.json.encode(plan))
    child.stdin.close()
    return child


def finish(child: subprocess.Popen[bytes]) -> Result:
    """What a generator that was started found."""
    assert child.stdout  # noqa: S101
    output = child.stdout.read()
    if child.wait():
        raise RuntimeError("the load generator failed")
    return msgspec.json.decode(output, type=Result)


def _render(post: Post, path: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: {post.user_agent}\r\naccept: */*\r\n"
        f"content-type: application/json\r\ncontent-length: {len(post.body)}\r\n\r\n"
    )
    return head.encode() + post.body


class _Sender:
    """The loop. One request is under way per connection."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests: list[bytes] = msgspec.msgpack.decode(Path(plan.requests).read_bytes(), type=list[bytes])
        self._wanted = b"HTTP/1.1 %d " % plan.status
        self._sockets = [_connect(plan.port) for _ in range(plan.connections)]
        self._by_fd = {s.fileno(): s for s in self._sockets}
        self._poll = select.epoll()
        for descriptor in self._by_fd:
            self._poll.register(descriptor, select.EPOLLIN)
        self._due: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._next = 0
        self.errors = 0
        self.latencies: list[float] = []

    def closed(self) -> float:
        """As fast as answers come. Returns how long it took."""
        began = time.perf_counter()
        until = began + (_PATIENCE_SECONDS * 20 if self._plan.once else self._plan.seconds)
        for descriptor in self._by_fd:
            if self._more():
                self._send(descriptor, time.perf_counter())
        while self._due:
            for descriptor in self._ready(_PATIENCE_SECONDS):
                at = time.perf_counter()
                if self._receive(descriptor, at) and at < until and self._more():
                    self._send(descriptor, at)
        return time.perf_counter() - began

    def open(self) -> float:
        """At the plan's rate, whether or not answers come. Returns how long it took."""
        period = 1 / self._plan.rate
        idle = deque(self._by_fd)
        began = time.perf_counter()
        total = int(self._plan.seconds * self._plan.rate)
        sent = 0
        while sent < total or self._due:
            at = time.perf_counter()
            while sent < total and idle and began + sent * period <= at:
                self._send(idle.popleft(), began + sent * period)
                sent += 1
            waits = began + sent * period - time.perf_counter() if sent < total and idle else _PATIENCE_SECONDS
            for descriptor in self._ready(max(waits, 0)):
                if self._receive(descriptor, time.perf_counter()):
                    idle.append(descriptor)
        return time.perf_counter() - began

    def _ready(self, seconds: float) -> list[int]:
        found = self._poll.poll(seconds)
        if not found and seconds >= _PATIENCE_SECONDS:
            raise RuntimeError(f"no answer for {seconds:.0f} s; {len(self._due)} requests are under way")
        return [descriptor for descriptor, _ in found]

    def _more(self) -> bool:
        return not self._plan.once or self._next < len(self._requests)

    def _send(self, descriptor: int, due: float) -> None:
        self._due[descriptor] = due
        self._by_fd[descriptor].sendall(self._requests[self._next % len(self._requests)])
        self._next += 1

    def _receive(self, descriptor: int, at: float) -> bool:
        """Read what came. Returns whether the answer is complete, and the connection good for another."""
        answer = self._by_fd[descriptor].recv(65536)
        if not answer:
            self.errors += 1
            self._due.pop(descriptor, None)
            self._poll.unregister(descriptor)
            return False
        if descriptor in self._partial:
            answer = self._partial.pop(descriptor) + answer
        if not _is_whole(answer):
            self._partial[descriptor] = answer
            return False
        self.errors += not answer.startswith(self._wanted)
        self.latencies.append((at - self._due.pop(descriptor)) * 1000)
        return True


def _is_whole(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    place = answer.find(_LENGTH, 0, head) + len(_LENGTH)
    return len(answer) >= head + 4 + int(answer[place : answer.find(b"\r", place)])


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sender = _Sender(plan)
    cpu, began_at = time.process_time(), time.time()
    seconds = sender.open() if plan.rate else sender.closed()
    result = Result(
        began_at=began_at,
        answered=len(sender.latencies),
        errors=sender.errors,
        seconds=seconds,
        cpu_seconds=time.process_time() - cpu,
        latencies_ms=sorted(sender.latencies),
    )
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
