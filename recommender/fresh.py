"""A web process' view of the catalogue, never more than two seconds old. In: the snapshot file, and Postgres' changes.
Out: `view`, which is replaced whole.

One thread: it maps the newest file, and applies to it the templates that changed since. NOTIFY wakes it, and each
second it looks by itself, because a notification may be lost. Where much changed it reads a small catalogue anew; of a
large one it waits for the chore's next file, which is begun at once, and reads it as well where none comes. Meanwhile
it owes what changed in bulk, which comes with that file, but applies single changes as ever. Postgres being away leaves
the last view in force.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from pathlib import Path

from recommender import building, catalogue
from recommender.catalogue import Catalogue
from schema import db
from schema.db import Connection
from schema.settings import Settings

_POLL_SECONDS = 1.0
_PAUSE_SECONDS = 0.25  # what changes meanwhile is applied together: with a thousand templates that took 0.1 s
_TEMPLATES_MAX = 2000  # of more the next file is waited for, while as many again are applied
_TRIPS_MAX = 100_000  # of more the next file is waited for as well: reading 86,000 of them took 0.1 s
_PATIENCE_SECONDS = 20.0  # for a file: two of the chore's periods
_CODES_SECONDS = 30.0
logger = logging.getLogger("tripstream.recommender")


class Fresh:
    """Keeps `view`. It is None until the catalogue was read for the first time, which `ready` tells."""

    def __init__(self, settings: Settings, forget: Callable[[Collection[int] | None], None] = lambda _: None) -> None:
        """`forget`: told of templates that changed, or None where anything may have."""
        self.view: Catalogue | None = None
        self.ready = threading.Event()
        self._settings = settings
        self._forget = forget
        self._file = building.path(settings)
        self._mapped: tuple[int, int] | None = None  # the file's inode and time of change
        self._behind_since: float | None = None
        self._owes = False  # whether `view` passed over changes, and only a file or a new reading can bring them
        self._codes_at = 0.0
        self._told = False
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin in a thread, which ends with the process or by `stop`."""
        self._bell, self._ring = os.pipe()
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it is not just connecting in vain."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.write(self._ring, b".")
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            os.close(self._bell)
            os.close(self._ring)

    def look(self, connection: Connection, now: datetime) -> None:
        """One look: a newer file, then what changed since. `view` is exchanged where there was anything."""
        base = self._newest(connection, now)
        is_other = base is not self.view
        owes = self._owes and not is_other
        saw, found = catalogue.changes(connection, base.origin.saw)
        template_ids = [one for one in found if one is not None]
        owes = owes or None in found or len(base.snapshot.changed.keys() | template_ids) > _TEMPLATES_MAX
        if owes and not self._may_owe(base):
            base, owes, is_other = catalogue.read(connection, now.date()), False, True
        else:
            base = _with_changes(connection, base, template_ids, now.date())
            base = base._replace(origin=base.origin._replace(saw=saw))
        base = self._with_codes(connection, base, anew=bool(template_ids))
        self._adopt(base, owes=owes)
        if is_other or found:
            self._forget(None if is_other or None in found else template_ids)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with db.connect(self._settings, "tripstream_reader", statement_seconds_max=240) as connection:
                    connection.execute("LISTEN catalogue")
                    connection.execute("LISTEN catalogue_file")
                    self._watch(connection)
            except Exception as error:  # whatever it is: the last view stays, and the next look may do better
                if not self._told:
                    logger.warning("the catalogue cannot be read", extra={"error": db.first_line(error)})
                self._told = True
                self._wait(None)

    def _watch(self, connection: Connection) -> None:
        heard = threading.Event()  # a notification may come with the answer to a query, and wake nobody later
        connection.add_notify_handler(lambda _: heard.set())
        while not self._stopping.is_set():
            heard.clear()
            self.look(connection, datetime.now(UTC))
            self._told = False
            self._stopping.wait(_PAUSE_SECONDS)
            if not heard.is_set():
                self._wait(connection)

    def _wait(self, connection: Connection | None) -> None:
        """For a notification, the next poll, or the end."""
        with selectors.DefaultSelector() as waiting:  # select() itself takes no descriptor above 1023
            waiting.register(self._bell, selectors.EVENT_READ)
            if connection:
                waiting.register(connection, selectors.EVENT_READ)
            waiting.select(_POLL_SECONDS)

    def _newest(self, connection: Connection, now: datetime) -> Catalogue:
        """What to go on from: a file that has not been mapped, else what we have, else what is built here."""
        if (stamp := _stamp(self._file)) != self._mapped:
            found = building.open_file(connection, self._file)
            self._mapped = stamp
            if found:
                return found
        base = self.view
        if base is None or not catalogue.continues(connection, base.origin.saw):
            return catalogue.read(connection, now.date())
        return base

    def _may_owe(self, base: Catalogue) -> bool:
        """A large catalogue may, until a file comes, but not for ever."""
        is_large = len(base.snapshot.columns.occurrence_id) > _TRIPS_MAX
        since = self._behind_since
        return is_large and (since is None or time.monotonic() - since <= _PATIENCE_SECONDS)

    def _with_codes(self, connection: Connection, base: Catalogue, *, anew: bool) -> Catalogue:
        """Types and themes tell nobody that they are new; the trips that are of them do."""
        if not anew and time.monotonic() - self._codes_at <= _CODES_SECONDS:
            return base
        self._codes_at = time.monotonic()
        return base._replace(known=catalogue.known_codes(connection))

    def _adopt(self, base: Catalogue, *, owes: bool) -> None:
        _ = base.snapshot.until  # it and the parts are made here, and not while a request waits
        if not owes:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
        self.view, self._owes = base, owes
        self.ready.set()


def _with_changes(connection: Connection, base: Catalogue, template_ids: list[int], today: date) -> Catalogue:
    """With as many of the templates as there is room for, the first ones first."""
    changed = base.snapshot.changed
    fresh = [one for one in template_ids if one not in changed]
    room = max(0, 2 * _TEMPLATES_MAX - len(changed))
    applied = [one for one in template_ids if one in changed] + fresh[:room]
    if not applied:
        return base
    trips = catalogue.trips_of(connection, applied, today)
    return base._replace(snapshot=base.snapshot.with_changes(trips, applied))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
