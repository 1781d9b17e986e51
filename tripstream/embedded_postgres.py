"""Embedded Postgres, from a wheel's programs.

In: the state directory, and options that tests override. Out: a cluster `pg<major>` in it, with the database
`tripstream`, on a Unix socket. A first start that is killed leaves no half cluster: both are made in a directory of
another name.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from schema.errors import ConfigError, StorageError
from tripstream import binaries
from tripstream.embedded import Server
from tripstream.state import own_dir

DATABASE = "tripstream"
SHARED_MEMORY_BYTES_MIN = 256 << 20

# Modest in memory: it shares a small machine with everything else. Whoever outgrows it sets DATABASE_URL.
TUNING = {
    "shared_buffers": "128MB",  # touched only as it fills
    "max_connections": "60",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_locks_per_transaction": "256",  # one per partition and index that a plan touches
    "synchronous_commit": "on",  # the drain acknowledges after COMMIT, so COMMIT has to mean it
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling took longer than the short queries it was for
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "max_logical_replication_workers": "0",  # one idle process less
    "log_error_verbosity": "terse",  # COPY's CONTEXT would quote visitors' rows in the log
    "cluster_name": DATABASE,
}


class Postgres(Server):
    name = "postgres"
    program = "postgres"
    stop_signal = signal.SIGINT  # "fast"; SIGTERM would wait for every client to leave by itself
    niceness = 5  # like the workers: where cores are short, accepting goes first (p99 of 20 ms in place of 30)
    hurry_signal = signal.SIGQUIT

    def __init__(self, state: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(state)
        self._options = dict(options or {})
        self.data = self.state  # known once the programs are found

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets), safe='/')}&port=5432"

    def argv(self) -> list[str]:
        programs, major = binaries.postgres(self.state)
        self.data = self.state / f"pg{major}"
        self.pid_file = self.data / "postmaster.pid"
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(programs, major)
        options = TUNING | _machine_options(programs) | {
            "listen_addresses": "",
            "port": "5432",  # names the socket file
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
        } | self._options  # fmt: skip
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(programs / "postgres"), "-D", str(self.data), *flags]

    def answers(self) -> bool:
        try:
            lines = self.pid_file.read_text().split("\n")
        except (FileNotFoundError, PermissionError):
            return False
        # line 1 as well: the file of an earlier run also says ready
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _make_cluster(self, programs: Path, major: int) -> None:
        if others := sorted(p.name for p in self.state.glob("pg[0-9]*") if p.name != self.data.name):
            raise ConfigError(
                f"{self.state} holds the data of {others[-1]}, but the Postgres found here is {major}, which "
                f"cannot read it: install that version again, or move {self.state / others[-1]} away"
            )
        self._check_account()
        fresh = self.state / f".pg{major}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        own_dir(fresh)
        locale = ("--locale=C", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        memory = [f for name, value in _shared_memory().items() for f in ("-c", f"{name}={value}")]
        trust = ("--auth-local=trust", "--auth-host=reject", "--no-instructions")  # the socket is 0700
        self._run("initdb", [programs / "initdb", "-D", fresh, "-U", "postgres", *trust, *locale, *memory])
        single = [programs / "postgres", "--single", "-j", "-c", "exit_on_error=on", "-D", fresh, "postgres"]
        self._run("making the database", single, f"CREATE DATABASE {DATABASE};\n\n")
        fresh.rename(self.data)

    def _check_account(self) -> None:
        uid = self.as_server_user().get("user", os.geteuid())
        try:
            pwd.getpwuid(uid)
        except KeyError:
            raise ConfigError(
                f"user id {uid} has no passwd entry, and Postgres needs one: add it, or set DATABASE_URL"
            ) from None

    def _run(self, what: str, argv: Sequence[object], statement: str = "") -> None:
        done = subprocess.run(
            [str(part) for part in argv],
            input=statement,
            cwd="/",
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            **self.as_server_user(),
        )
        if done.returncode:
            raise StorageError(f"{what} failed: {done.stderr.strip()[-800:]}")


def _machine_options(programs: Path) -> dict[str, str]:
    shown = subprocess.run([programs / "pg_config", "--configure"], capture_output=True, text=True, check=False)
    compression = {"wal_compression": "lz4"} if "--with-lz4" in shown.stdout else {}  # pglz costs too much CPU
    return compression | _shared_memory()


def _shared_memory() -> dict[str, str]:
    """Docker's /dev/shm of 64 MB is too small for parallel joins, and one of 1 MB for initdb."""
    try:
        roomy = sys.platform != "linux" or shutil.disk_usage("/dev/shm").total >= SHARED_MEMORY_BYTES_MIN  # noqa: S108
    except OSError:
        roomy = False
    return {} if roomy else {"dynamic_shared_memory_type": "mmap"}
