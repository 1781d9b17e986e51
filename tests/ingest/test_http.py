"""HTTP itself, against the process as it is run: 54, 59 and 60 of the bad inputs, slow senders, and what is logged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import make
from tests.ingest.serving import Server, drain, figures, queued, select
from tests.ingest.wire import CLIENT, Process, post, read_all, running, statuses

MIB = 1 << 20
HEAD = b"POST /api/events/batch HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def process(shared: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(shared.settings, tmp_path_factory.mktemp("ingest") / "log") as found:
        yield found


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def works(process: Process, shared: Server) -> bool:
    """Whether the next sender is served as if nothing had been."""
    left = queued(shared.settings)
    answer = process.ask(post(make.body(make.event(0))))
    drain(shared.settings)
    return (left, statuses(answer)) == (0, [202])


def test_a_batch_is_accepted_over_a_socket(process: Process, shared: Server) -> None:
    answer = process.ask(post(make.body(), b"Content-Type: text/plain"))
    assert statuses(answer) == [202]
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["accepted"] == 3
    drain(shared.settings)
    assert select(shared.settings, "SELECT count(*), min(ip_prefix)::text FROM events") == [(3, "127.0.0.0/24")]


def test_a_body_in_chunks_is_a_body(process: Process, shared: Server) -> None:
    parts = [chunk(make.body()[:9]), chunk(make.body()[9:]), b"0\r\n\r\n"]
    answer = process.ask(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", *parts)
    assert statuses(answer) == [202]
    drain(shared.settings)


def test_requests_one_after_the_other_on_one_connection_are_all_answered(process: Process, shared: Server) -> None:
    kept = post(make.body(make.event(0))).replace(b"Connection: close\r\n", b"")
    assert statuses(process.ask(kept * 9 + post(make.body(make.event(1))))) == [202] * 10
    drain(shared.settings)
    assert figures(shared.settings).conserved


def test_54_a_body_shorter_than_announced_is_no_batch(process: Process, shared: Server) -> None:
    answer = process.ask(post(make.body(), length=len(make.body()) + 10), end=True)
    assert 202 not in statuses(answer)
    assert works(process, shared)


def test_54_a_body_longer_than_announced_ends_where_it_was_announced_to(process: Process, shared: Server) -> None:
    kept = post(make.body(), length=10).replace(b"Connection: close\r\n", b"")
    found = statuses(process.ask(kept, end=True))
    assert found[0] == 400
    assert set(found) == {400}
    assert works(process, shared)


def test_54_too_large_is_told_at_once_and_never_held_in_memory(process: Process, shared: Server) -> None:
    before = process.memory_peak()
    announced = process.ask(post(b" " * 65_536, length=512 * MIB))
    assert statuses(announced) == [413]
    chunks = [chunk(b" " * MIB) for _ in range(64)]
    endless = process.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks)
    assert statuses(endless) in ([413], [])  # cut off: the answer may be lost on its way to a sender that never stops
    assert process.memory_peak() - before < 24 * MIB
    assert works(process, shared)


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLERS = {
    "both lengths": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "both lengths the other way": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n[]" + SMUGGLED,
    "a list of lengths": HEAD + b"Content-Length: 2, 40\r\n\r\n[]" + SMUGGLED,
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\n[]" + SMUGGLED,
    "a length in hexadecimal": HEAD + b"Content-Length: 0x2\r\n\r\n[]" + SMUGGLED,
    "a length with a plus": HEAD + b"Content-Length: +2\r\n\r\n[]" + SMUGGLED,
    "a length of 5000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n[]" + SMUGGLED,
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two codings": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before a colon": HEAD + b"Content-Length : 2\r\n\r\n[]" + SMUGGLED,
    "a NUL in a header": HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n[]" + SMUGGLED,
    "a chunk size too large": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n[]" + SMUGGLED,
    "a chunk without its end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]x\r\n0\r\n\r\n" + SMUGGLED,
    "no method at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SMUGGLED,
}


@pytest.mark.parametrize("sent", SMUGGLERS.values(), ids=SMUGGLERS.keys())
def test_59_a_second_request_cannot_be_smuggled_past_a_proxy(process: Process, shared: Server, sent: bytes) -> None:
    answer = process.ask(sent, end=True)
    found = statuses(answer)
    assert len(found) <= 1
    assert all(400 <= status < 500 for status in found)
    assert b"alive" not in answer
    assert works(process, shared)


@pytest.mark.parametrize(
    "headers",
    [[b"X-%d: %s" % (n, b"x" * 1000) for n in range(100)], [b"X: " + b"x" * 100_000], [b"X-Y: z"] * 20_000],
    ids=["many", "one", "short"],
)
def test_59_headers_of_100_kb_are_refused(process: Process, shared: Server, headers: list[bytes]) -> None:
    assert statuses(process.ask(post(make.body(), *headers))) == [431]
    drain(shared.settings)
    assert works(process, shared)


def test_a_large_body_behind_a_small_head_is_no_large_head(process: Process, shared: Server) -> None:
    body = make.body(*(make.event(n, metadata={"text": "x" * 6000}) for n in range(50)))
    sent = post(body).replace(b"Connection: close\r\n", b"")
    for end in range(sent.index(b"\r\n\r\n"), sent.index(b"\r\n\r\n") + 6):  # the blank line in two pieces
        with process.connect() as connection:
            connection.sendall(sent[:end])
            assert statuses(process.ask(post(b"{"))) == [400]  # by then the first piece was read
            connection.sendall(sent[end:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
        drain(shared.settings)


def test_60_a_forwarded_request_is_not_local(process: Process, shared: Server) -> None:
    for header in (b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-For: garbage, \xff", b"X-Real-IP: ::1"):
        assert statuses(process.ask(post(make.body(), header))) == [401]
    assert works(process, shared)


def stalled(process: Process, shared: Server, sent: bytes) -> list[bytes]:
    """What a hundred senders are told that stop after `sent`, while another one is served."""
    with ExitStack() as open_connections:
        slow = [open_connections.enter_context(process.connect()) for _ in range(100)]
        for connection in slow:
            connection.sendall(sent)
        assert works(process, shared)
        return [read_all(connection) for connection in slow]


def test_a_head_that_does_not_come_to_its_end_is_given_up(process: Process, shared: Server) -> None:
    assert stalled(process, shared, HEAD + b"X: ") == [b""] * 100


def test_a_connection_that_says_nothing_is_given_up(process: Process, shared: Server) -> None:
    assert stalled(process, shared, b"") == [b""] * 100


def test_a_body_that_does_not_come_to_its_end_is_told_so(process: Process, shared: Server) -> None:
    answers = stalled(process, shared, post(make.body()[:10], length=100))
    assert [statuses(answer) for answer in answers] == [[408]] * 100


def test_a_sender_that_vanishes_leaves_nothing_behind(process: Process, shared: Server) -> None:
    for cut in range(0, 300, 10):
        with process.connect() as connection:
            connection.sendall(post(make.body())[:cut])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
    assert works(process, shared)


def test_the_log_holds_no_address_and_nothing_of_an_event(process: Process, shared: Server) -> None:
    secret = make.event(0, position=-1, path="/private-path", metadata={"email": "someone@example.org"})
    answer = process.ask(post(make.body(secret), b"User-Agent: Telltale/1.0", b"Origin: https://telltale.example"))
    assert statuses(answer) == [202]
    assert works(process, shared)
    log = Path(process.log).read_text()
    assert "events refused" in log
    assert {json.loads(line)["logger"] for line in log.splitlines()} <= {"tripstream.ingest", "uvicorn.error"}
    for never in (CLIENT, "private-path", "someone@", "elltale"):
        assert never not in log


def test_the_books_balance_after_all_of_that(process: Process, shared: Server) -> None:
    assert process.running.poll() is None
    drain(shared.settings)
    totals = figures(shared.settings)
    assert totals.conserved
    assert totals.dead == 0
