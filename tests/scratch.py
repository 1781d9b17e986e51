"""Directories for the tests' servers. In: nothing. Out: an empty directory, gone at the end of the block.

They are outside pytest's own, which are closed to other users and too long for a socket; and in memory, where there is
plenty and programs may run: a clone of the database, 661 files, took 0.03 s there and 0.2 to 0.8 s on a disk. What kill
-9 of a server leaves is the same in both; servers that a test runs with every durability setting on are on the disk.
A directory is named after its process: what a killed run left in memory, 80 MB of it, the next one removes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tripstream.children import command_line

DISK = Path("/tmp")  # noqa: S108 short enough for sockets
_MEMORY = Path("/dev/shm")  # noqa: S108 the directory in it has a name of its own
_BYTES_MIN = 3 << 30  # the servers of one pytest process were seen to take 0.3 GB
_PREFIX = "tripstream-test-"


@contextmanager
def directory(parent: Path | None = None) -> Iterator[Path]:
    """One that the servers' user may pass through; in `parent`, else in the quickest place."""
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent or _quickest())).resolve()
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def _quickest() -> Path:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return DISK
    return DISK if found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < _BYTES_MIN else _MEMORY


def _sweep() -> None:
    """The servers in there ended with their process: on Linux, where alone there is such a memory."""
    for left in _MEMORY.glob(f"{_PREFIX}*-*"):
        if not command_line(int(left.name.removeprefix(_PREFIX).split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
