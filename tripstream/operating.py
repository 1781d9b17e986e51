"""What the dashboard may do beyond reading, from the rooms that know how. In: settings. Out: functions for its pages,
each with a connection of its own; a letter of another site is as good as none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from reports.dashboard.operating import Finding, Matching, Operating, Replayed
from reports.lately import lately
from schema import db
from schema.db import Connection
from schema.errors import InvalidEvent, NotFound
from schema.settings import Settings
from schema.sql import load

_EXAMINED_SECONDS = 2.0
_CHANGED = "Somebody else changed this letter meanwhile: open it in another tab, and put both changes together."
_REPLAY_SECONDS_MAX = 240


def operating(settings: Settings) -> Operating:
    """For this installation."""

    def examine() -> Sequence[Finding]:
        from tripstream import doctor  # the clock's chores come with it, and RQ

        return doctor.examine(settings)

    def patch(site_id: str, dead_letter_id: int, seen: str, event: dict[str, Any]) -> None:
        with _letters(settings) as (letters, connection), connection.transaction():
            letter = _own(letters, connection, site_id, dead_letter_id)
            if str(letter["patched_at"] or "") != seen:
                raise InvalidEvent("changed_meanwhile", _CHANGED)
            cleared = dict.fromkeys(letter["event"] or {})
            letters.patch(connection, dead_letter_id, cleared | event)

    def matching(site_id: str, wanted: Matching, unreadable: bool) -> list[int]:
        with db.wrapped(), db.connect(settings) as connection:
            values = wanted._asdict() | {"site_id": site_id, "unreadable": unreadable}
            return [found for (found,) in connection.execute(load("deadletters")["matching"], values)]

    def replay(site_id: str, ids: Sequence[int]) -> Sequence[Replayed]:
        with _letters(settings) as (letters, connection):
            _require_own(letters, connection, site_id, ids)
            done: Sequence[Replayed] = letters.replay(connection, ids, settings)
        return done

    def discard(site_id: str, ids: Sequence[int]) -> int:
        with _letters(settings) as (letters, connection):
            _require_own(letters, connection, site_id, ids)
            return int(letters.discard(connection, ids))

    return Operating(lately(examine, _EXAMINED_SECONDS), patch, matching, replay, discard)


@contextmanager
def _letters(settings: Settings) -> Iterator[tuple[ModuleType, Connection]]:
    from workers import deadletters  # drains come with it, which web processes do without

    with db.wrapped(), db.connect(settings, statement_seconds_max=_REPLAY_SECONDS_MAX) as connection:
        yield deadletters, connection


def _own(letters: ModuleType, connection: Connection, site_id: str, dead_letter_id: int) -> dict[str, Any]:
    letter: dict[str, Any] = letters.show(connection, dead_letter_id)
    if letter["site_id"] != site_id:
        raise NotFound(f"There is no dead letter {dead_letter_id}: see `tripstream deadletters list`.")
    return letter


def _require_own(letters: ModuleType, connection: Connection, site_id: str, ids: Sequence[int]) -> None:
    for dead_letter_id in ids:
        _own(letters, connection, site_id, dead_letter_id)
