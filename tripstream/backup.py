"""One file of everything that Postgres holds, and back again. In: settings and a file. Out: the file, or the database
as it was then, proved by verify.

Around pg_dump, pg_restore and psql of the wheel that brings the embedded server. A backup that is cut short leaves no
file under its name. A restore is one transaction: cut short, or of a broken file, it leaves what was there. Drains wait
meanwhile, accepting goes on. What is queued is Redis', and in no backup.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schema import db, migrate, sites, stream
from schema.errors import ConfigError, InvalidRequest, StorageError
from schema.settings import Settings
from tripstream import binaries
from workers import derive, upkeep, verify

_EMPTIED = b"BEGIN; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner;\n"
_HELD = "SELECT coalesce((SELECT sum(stored) FROM drained), 0), (SELECT count(*) FROM batches)"


class Backup(NamedTuple):
    """What a file holds, and what it does not: batches that were queued when it was begun."""

    path: Path
    size: int
    events: int
    queued: int


def backup(settings: Settings, path: Path) -> Backup:
    """Write a new file. Raises InvalidRequest where there is one already, StorageError where pg_dump fails."""
    if path.exists():
        raise InvalidRequest(f"{path} is there already: name another file, or remove it.")
    upkeep.mirror(settings)  # what was promised until now goes with it
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        events, _ = _held(connection)
        lanes = stream.known_lanes(redis, settings.lanes)
        queued = sum(lane.batches for lane in stream.backlog(redis, lanes))
    part = path.with_name(f"{path.name}.part")
    try:
        part.touch(mode=0o600)
        with _program(settings, "pg_dump", *_DUMPED, f"--file={part}") as dump:
            _finished(dump, "pg_dump")
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return Backup(path, path.stat().st_size, events, queued)


_DUMPED = ("--format=custom", "--no-owner", "--no-privileges", "--enable-row-security")


def restore(settings: Settings, path: Path, progress: derive.Progress, *, replace: bool = False) -> verify.Report:
    """Put a file in place of what the database holds, bring it to this version, recompute what is derived, and prove
    that it adds up. Raises InvalidRequest where there are events and not `replace`, StorageError for a broken file."""
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.")
    _must_be_backup(path)
    with verify.standstill(settings, role="owner") as (connection, _, _):
        events, batches = _held_if_any(connection)
        if batches and not replace:
            raise InvalidRequest(
                f"The database holds {events} events, which a restore would remove: say --replace if that is meant, "
                "or set DATABASE_URL to an empty one."
            )
        _put_in_place(settings, path)
        migrate.upgrade(settings)
    sites.announce(settings)
    verify.rebuild(settings, progress)
    return verify.verify(settings, progress)


def _put_in_place(settings: Settings, path: Path) -> None:
    """Drop and load in one transaction, which is committed once pg_restore said that it has read everything."""
    script = [str(binaries.postgres_client("pg_restore")), "--no-owner", "--no-privileges", "--file=-", str(path)]
    loading = ("--quiet", "--set=ON_ERROR_STOP=1", "--no-psqlrc", "--file=-")
    with (
        subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading,
        _program(settings, "psql", *loading, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as psql,
    ):
        assert reading.stdout and psql.stdin  # noqa: S101 both are pipes
        with contextlib.suppress(BrokenPipeError):  # psql ended: it says below why
            psql.stdin.write(_EMPTIED)
            shutil.copyfileobj(reading.stdout, psql.stdin, 1 << 20)
            if reading.wait() == 0:
                psql.stdin.write(b"COMMIT;\n")
            psql.stdin.close()
        reading.stdout.close()
        _finished(psql, "psql")
        _finished(reading, "pg_restore")


def _must_be_backup(path: Path) -> None:
    """Before anything is dropped: a file that was cut short may still have a table of contents, but no other has."""
    with subprocess.Popen(
        [str(binaries.postgres_client("pg_restore")), "--list", str(path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as listing:  # fmt: skip
        _finished(listing, f"{path} is no backup: pg_restore")


def _held_if_any(connection: db.Connection) -> tuple[int, int]:
    try:
        return _held(connection)
    except psycopg.errors.UndefinedTable:
        return 0, 0


def _held(connection: db.Connection) -> tuple[int, int]:
    """Events stored, and batches."""
    events, batches = connection.execute(_HELD).fetchall()[0]
    return int(events), int(batches)


@contextmanager
def _program(
    settings: Settings, name: str, *arguments: str, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """One of Postgres' programs on our database, its password not where `ps` shows it to everyone."""
    parts = conninfo_to_dict(db.checked_url(settings))
    password = parts.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    argv = [str(binaries.postgres_client(name)), f"--dbname={make_conninfo('', **parts)}", *arguments]
    with subprocess.Popen(argv, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE) as child:
        yield child


def _finished(child: subprocess.Popen[bytes], name: str) -> None:
    """Wait for its end. Raises StorageError with what it said first."""
    said = child.stderr.read().decode(errors="replace") if child.stderr else ""
    if child.wait() != 0:
        raise StorageError(f"{name}: {said.strip().splitlines()[0] if said.strip() else 'failed'}")
