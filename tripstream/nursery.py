"""Forks app processes off one process that has imported what they need, and so they share its memory (Linux).

In: a command line `python -m module …`, environment, descriptors. Out: a process that is the caller's own child, as one
that it had started itself: its parent, who asks the nursery for it, hears how it ends, and takes it along when killed.
What holds after a crash: without the nursery its children live on, and the next start fails with NurseryGone.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import os
import runpy
import signal
import socket
import sys
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, Self

import msgspec

from tripstream.children import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, die_with_parent

_MESSAGE_BYTES_MAX = 1 << 18
_DESCRIPTORS_MAX = 16


class NurseryGone(Exception):
    """The nursery has ended."""


class Forked:
    """A child that the nursery made for us; as much of asyncio's Process as the supervisor needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = loop.create_future()
        self._descriptor = os.pidfd_open(pid)
        loop.add_reader(self._descriptor, self._reap)

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._code.result() if self._code.done() else None

    async def wait(self) -> int:
        """The exit code, once it has ended; of one that a signal ended, the negative number."""
        return await asyncio.shield(self._code)

    def send_signal(self, number: int) -> None:
        """Its pid is nobody else's until we have reaped it."""
        if not self._code.done():
            os.kill(self.pid, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._code.set_result(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))


class _Order(msgspec.Struct):
    """What to start. `inherits` are the numbers of the descriptors that come along, after that for its output."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    inherits: Sequence[int]


class Nursery:
    """The caller's end. What is imported when it is made is shared; there must be one thread, and no event loop."""

    def __init__(self) -> None:
        if (threads := threads_here()) > 1:
            raise RuntimeError(f"{threads - 1} threads, which forked processes would miss, have been started")
        self._prctl = ctypes.CDLL(None).prctl
        self._turn = asyncio.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        dies_with_us = die_with_parent(signal.SIGKILL)
        caller = os.getpid()
        gc.collect()
        gc.freeze()  # a collection writes to every object it goes over, and a page written to is shared no more
        self.pid = os.fork()
        if self.pid == 0:
            try:
                dies_with_us()
                _serve(theirs, caller)
            except Exception:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        theirs.close()
        self._channel.setblocking(False)

    @staticmethod
    def is_possible() -> bool:
        """Whether the system has all that this needs. macOS' own libraries do not survive a fork."""
        return sys.platform == "linux" and hasattr(os, "pidfd_open")

    async def start(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], output: int, inherits: Sequence[int]
    ) -> Forked:
        """Start `argv` with stdout and stderr in `output`; in process lists it is `tripstream name`.

        Raises NurseryGone; OSError when no process can be forked or the environment is too large to tell.
        """
        order = msgspec.json.encode(_Order(name, argv, environment, inherits))
        async with self._turn:
            self._prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # whoever loses its parent now becomes ours
            try:
                socket.send_fds(self._channel, [order], [output, *inherits])
                answer = await asyncio.get_running_loop().sock_recv(self._channel, 64)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
            finally:
                self._prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise NurseryGone
        if (number := int(answer)) < 0:
            raise OSError(-number, os.strerror(-number))
        return Forked(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing more is started. What was started stays."""
        self._channel.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def threads_here() -> int:
    """How many run in this process, whoever started them."""
    return len(list(Path("/proc/self/task").iterdir()))


def _serve(channel: socket.socket, caller: int) -> NoReturn:
    """The nursery's life. The caller's frames and objects stay where they are, so neither it nor its children unwind:
    they leave by os._exit."""
    os.setsid()  # Ctrl-C is the caller's
    name_process("tripstream nursery")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _close_all_but({0, 1, 2, channel.fileno()})
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, _MESSAGE_BYTES_MAX, _DESCRIPTORS_MAX)
        if not message:
            os._exit(0)
        try:
            pid = _fork(caller)
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            _live(msgspec.json.decode(message, type=_Order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(pid).encode())


def _live(order: _Order, descriptors: list[int]) -> NoReturn:
    """The child's life."""
    code: object = 1
    try:
        _become(order, descriptors)
        sys.argv = [*order.argv[2:]]
        runpy.run_module(order.argv[2], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
        if not isinstance(code, int):
            sys.stderr.write(f"{code}\n")  # as Python does
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def _fork(caller: int) -> int:
    """Fork a child and have it adopted by the caller. Returns its pid; 0 in the child. Raises OSError.

    The process between us and the child ends at once; its child goes to the nearest ancestor that takes orphans.
    """
    ours, theirs = socket.socketpair()
    with ours:
        if (middle := os.fork()) == 0:
            try:
                _fork_and_end()
                ours.close()
                _be_adopted(theirs, caller)
            except BaseException:
                os._exit(1)
            return 0
        theirs.close()
        pid = int(ours.recv(32) or 0)
        code = os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1])
        if not pid:
            raise OSError(code, os.strerror(code))
        ours.send(b".")
        return pid


def _fork_and_end() -> None:
    """Returns in the child only."""
    try:
        if os.fork():
            os._exit(0)
    except OSError as error:
        os._exit(error.errno or 1)


def _be_adopted(told: socket.socket, caller: int) -> None:
    """Say who we are, wait until our parent has ended, and never outlive the caller. Ends us where that failed."""
    os.setsid()  # before anybody knows us: whoever kills us kills our group
    with told:
        told.send(str(os.getpid()).encode())
        is_done = told.recv(1)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if not is_done or os.getppid() != caller:
        os._exit(1)


def _become(order: _Order, descriptors: list[int]) -> None:
    """Be what `order` says: name, environment, and these descriptors and no others."""
    name_process(f"tripstream {order.name}")
    os.environ.clear()
    os.environ.update(order.environment)
    wanted = dict(zip((1, 2, *order.inherits), (descriptors[0], *descriptors), strict=True))
    wanted[0] = os.open(os.devnull, os.O_RDONLY)
    above = max(*wanted, *wanted.values()) + 1
    moved = {number: fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for number, descriptor in wanted.items()}
    for number, descriptor in moved.items():
        os.dup2(descriptor, number)
    _close_all_but(wanted)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=True)


def _close_all_but(kept: Container[int]) -> None:
    for path in list(Path("/proc/self/fd").iterdir()):
        if (number := int(path.name)) not in kept:
            with suppress(OSError):  # that of the listing
                os.close(number)


def name_process(name: str) -> None:
    """What `ps` shows: written over the command line that we were started with, as far as there is room."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if end > start:
        ctypes.memmove(start, name.encode()[: end - start - 1].ljust(end - start, b"\0"), end - start)
