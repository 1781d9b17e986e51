"""The snapshot file. In: Postgres, where the catalogue changed. Out: TRIPSTREAM_STATE/catalogue.snapshot, which every
web process of this machine maps; `build` is the chore that the clock asks for.

The file is replaced whole: after a crash there is the old one or the new one. It says which database it was read from
and what it saw of it; one of another database is as good as none.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from recommender import catalogue
from recommender.catalogue import Catalogue, Known, Origin
from recommender.snapshot import Snapshot
from schema import db
from schema.db import Connection
from schema.errors import NoSnapshot
from schema.settings import Settings
from schema.sql import load

_SQL = load("recommend")
_TEMPLATES_MAX, _SECONDS_MAX = 200, 60  # web processes apply as much by themselves, and for so long
logger = logging.getLogger("tripstream.recommender")


class Label(msgspec.Struct, array_like=True):
    """What the file says of itself besides its columns."""

    origin: Origin
    day: date
    known: Known


def path(settings: Settings) -> Path:
    """Where the file is."""
    return settings.state / "catalogue.snapshot"


def build(settings: Settings) -> None:
    """The chore: a new file where the old one is missing, is of another day, or has to be corrected by much."""
    today = datetime.now(UTC).date()
    with db.connect(settings, statement_seconds_max=240) as connection:
        if connection.execute(_SQL["lock"]).fetchall()[0][0]:
            run_once(connection, path(settings), today)


def run_once(connection: Connection, file: Path, today: date) -> bool:
    """Build it if it is due, then forget changes that the file before this one had seen. Returns whether it was."""
    old = open_file(connection, file)
    if old and not _is_due(connection, old, today):
        return False
    began = time.monotonic()
    write(catalogue.read(connection, today), file)
    connection.execute(_SQL["tell_file"])
    logger.info("catalogue snapshot built", extra={"seconds": round(time.monotonic() - began, 3)})
    if old:
        connection.execute(_SQL["forget_changes"], {"saw": old.origin.saw})
    return True


def write(found: Catalogue, file: Path) -> None:
    """Put a catalogue into the file's place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    said = msgspec.json.encode(Label(found.origin, found.day, found.known)).decode()
    replace(found.snapshot, label=said).write(file)


def open_file(connection: Connection, file: Path) -> Catalogue | None:
    """The file, mapped, if there is one that can be read, of this database."""
    try:
        snapshot = Snapshot.map(file)
        said = msgspec.json.decode(snapshot.label, type=Label)
    except (OSError, NoSnapshot, msgspec.DecodeError):
        return None
    is_of_here = catalogue.origin_of(connection).database == said.origin.database
    if not is_of_here or not catalogue.continues(connection, said.origin.saw):
        return None
    return Catalogue(snapshot, said.known, said.origin, said.day)


def _is_due(connection: Connection, old: Catalogue, today: date) -> bool:
    templates, everything, seconds = connection.execute(_SQL["unseen"], {"saw": old.origin.saw}).fetchall()[0]
    return bool(old.day != today or everything or templates > _TEMPLATES_MAX or seconds > _SECONDS_MAX)
