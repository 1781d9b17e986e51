"""What was measured, where and with what, as a table and as JSON. In: rows and what they found. Out: text and files.

What holds: `latest.json` has every figure of every round, so that a later run can be compared with this one.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench.measured import Measured, Row
from bench.servers import ROOT, Servers

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("uvicorn", "uvloop", "httptools", "fastapi", "msgspec", "redis", "hiredis", "rq", "psycopg", "granian")
_HEAD = ("name", "what", "measured", "reference", "value", "bar", "aim", "verdict")


def surroundings(servers: Servers) -> dict[str, Any]:
    """Machine, versions and commit."""
    with psycopg.connect(servers.postgres.url()) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    with servers.redis() as redis:
        info = redis.info("server")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "cpu": _first(r"model name\s*: (.*)", Path("/proc/cpuinfo")) or platform.processor(),
            "cores": _cores(),
            "memory_mb": int(_first(r"MemTotal:\s*(\d+)", Path("/proc/meminfo")) or 0) // 1024,
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            "postgres": row[0] if row else "unknown",
            "valkey": info.get("valkey_version") or info["redis_version"],
            **{name: version(name) for name in _PACKAGES},
        },
    }


def table(found: Mapping[Row, Measured]) -> str:
    """The rows as Markdown."""
    lines = [line(*_HEAD), line(*["---"] * len(_HEAD))]
    for row, measured in found.items():
        lines.append(
            line(
                row.name,
                row.what,
                measured.ours,
                measured.reference,
                f"{_figure(measured.value)} {row.unit}",
                _figure(row.bar),
                _figure(row.aim),
                row.verdict(measured.value),
            )
        )
    return "\n".join(lines)


def write(where: Mapping[str, Any], found: Mapping[Row, Measured], seconds: float, directory: Path = RESULTS) -> None:
    """Both files. A run of some rows only leaves the others as they were in neither: the files are of one run."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [
        {"name": row.name, "what": row.what, "unit": row.unit, "bar": row.bar, "aim": row.aim}
        | {"verdict": row.verdict(measured.value)}
        | measured._asdict()
        for row, measured in found.items()
    ]
    document = {**where, "seconds": round(seconds), "rows": rows}
    (directory / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    (directory / "latest.md").write_text(f"{heading(where)}\n\n{table(found)}\n")


def heading(where: Mapping[str, Any]) -> str:
    """Where and with what, in three lines."""
    machine, versions = where["machine"], where["versions"]
    return (
        f"Commit {where['commit']}, {where['at']}, on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_mb']:,} MB, {machine['system']}.\n"
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + ".\nEvery server is private, with fsync on and appendfsync always. Ratios are medians of the rounds' own."
    )


def line(*cells: str) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _first(pattern: str, file: Path) -> str:
    found = re.search(pattern, file.read_text()) if sys.platform == "linux" else None
    return found[1].strip() if found else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str:
    def git(*words: str) -> str:
        program = shutil.which("git")
        if program is None:
            return ""
        return subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout

    head = git("rev-parse", "--short", "HEAD").strip() or "unknown"
    changed = [line for line in git("status", "--porcelain").splitlines() if not line[3:].startswith("bench/results")]
    return f"{head}{f' with {len(changed)} files changed' if changed else ''}"
