"""The whole stack at rest: `tripstream up` with servers of its own.

In: nothing posted but one batch, so that every process has done its work once. Out: proportional set size (shared
pages counted once) of supervisor, servers and every process below; and the sum of resident sizes, which counts what
is shared in each.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bench.measured import Measured
from bench.rounds import FULL, Scale
from bench.servers import Servers, free_port, stack
from bench.stored import post_all
from schema.settings import Settings

_MEGABYTE = 1e6


def measure(_servers: Servers, scale: Scale) -> Measured:
    """Every process of the stack, some seconds after the last request."""
    state = Path(tempfile.mkdtemp(prefix="tripbench-", dir="/tmp")).resolve()  # short enough for sockets
    state.chmod(0o711)
    try:
        with stack(Settings(state=state, port=(port := free_port()), database_url="", redis_url="")) as supervisor:
            post_all(port, 20, 10, seed=11)
            time.sleep(20 if scale == FULL else 3)
            found = {pid: _memory(pid) for pid in below(supervisor.pid)}
    finally:
        shutil.rmtree(state, ignore_errors=True)
    by_name: dict[str, float] = defaultdict(float)
    for name, pss, _ in found.values():
        by_name[name] += pss / _MEGABYTE
    total = sum(by_name.values())
    return Measured(
        total,
        f"{total:,.0f} MB in {len(found)} processes: "
        + ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in sorted(by_name.items(), key=lambda one: -one[1])),
        f"sum of resident sizes {sum(rss for *_, rss in found.values()) / _MEGABYTE:,.0f} MB",
        {"pss_mb": dict(by_name)},
    )


def below(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _memory(pid: int) -> tuple[str, int, int]:
    """Name, proportional and resident bytes."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:] if ":" in line
    )
    pss, rss = (int(fields[name].split()[0]) * 1024 for name in ("Pss", "Rss"))
    return program(pid), pss, rss


def program(pid: int) -> str:
    """What a process is: one of ours by its command, or by what `tripstream up` calls it, without its number."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    if "tripstream" in words and not words[0].endswith(":"):  # Postgres' own say which database
        named = " ".join(word for word in words[words.index("tripstream") + 1 :] if not word.startswith("-"))
        return re.sub(r"[-.]\d+$", "", named) or "up"
    return Path(words[0].rstrip(":")).name if words else "?"
