"""Dead letters: shown, patched, replayed, given up. In: ids. Out: the event stored after all, or why still not.

A replay stores through the ledger like any event and changes the letter's state in the same transaction, so doing it
twice, or racing another, changes nothing. It is not accepted again: the receipt's `dead` turns into `stored`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import dict_row

from schema.db import Connection
from schema.errors import InvalidEvent, NotFound
from schema.event import MICROSECOND, Batch, Event, Verified, as_json, from_json
from schema.settings import Settings
from schema.sql import load
from workers import floors
from workers.copying import make_tables
from workers.drain import is_poison, lane_lock
from workers.fits import count_warnings
from workers.resolve import Dictionaries, Staged
from workers.store import add_drained, known_events, write
from workers.verify import REPLAYS

_SQL = load("deadletters")
_UNREADABLE = "it cannot be read as an event"
_REQUEST = "an answered request is kept to look at; it cannot be replayed"


class Replay(NamedTuple):
    """What became of one replay: replayed, duplicate (it was stored meanwhile), already resolved, or dead still."""

    dead_letter_id: int
    verdict: str
    reason: str = ""


def listed(connection: Connection, site_id: str | None, state: str | None, limit: int) -> list[dict[str, Any]]:
    """Dead letters, newest first. `state`: dead, replayed, duplicate, or None for all."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list"], {"site_id": site_id, "state": state, "limit": limit}).fetchall()


def show(connection: Connection, dead_letter_id: int) -> dict[str, Any]:
    """One dead letter; `event` is it as JSON, or None where not even that could be read. Raises NotFound."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["get"], {"dead_letter_id": dead_letter_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no dead letter {dead_letter_id}: see `tripstream deadletters list`.")
    raw = bytes(row.pop("raw"))
    readable = row["event_id"] is not None
    return row | {"raw": raw, "event": msgspec.json.decode(raw) if readable else None}


def why_kept(letter: dict[str, Any]) -> str | None:
    """Why a letter, as shown, can be neither patched nor replayed; None for an event. Only requests hold no events."""
    if letter["event"] is not None:
        return None
    return _UNREADABLE if letter["events"] else _REQUEST


def patch(connection: Connection, dead_letter_id: int, changes: dict[str, Any]) -> Event:
    """Change fields of a dead event; null clears one. Raises NotFound, or InvalidEvent naming the wrong field."""
    with connection.transaction():
        letter = show(connection, dead_letter_id)
        why = why_kept(letter) or (f"it is {letter['state']} already" if letter["state"] != "dead" else None)
        if why is not None:
            raise InvalidEvent("not_patchable", f"Dead letter {dead_letter_id} cannot be patched: {why}.")
        merged = {k: v for k, v in (letter["event"] | changes).items() if v is not None}
        try:
            event = from_json(msgspec.json.encode(merged))
        except msgspec.ValidationError as error:
            raise InvalidEvent("invalid_field", f"The patched event does not fit: {error}") from None
        except UnicodeEncodeError:  # "\ud800" is JSON, and no text
            raise InvalidEvent("invalid_field", "The patched event does not fit: it has half of a character.") from None
        values = {"dead_letter_id": dead_letter_id, "raw": as_json(event), "event_id": event.event_id}
        connection.execute(_SQL["patch"], values)
    return event


def open_ids(connection: Connection, site_id: str | None = None) -> list[int]:
    """Ids of the dead letters that a replay of everything would replay."""
    return [row[0] for row in connection.execute(_SQL["open_ids"], {"site_id": site_id})]


def discard(connection: Connection, ids: Sequence[int]) -> int:
    """Give these up: from dead they turn into discarded. Returns how many letters; those that are not dead stay."""
    with lane_lock(connection, REPLAYS, wait=True):
        return sum(_discard(connection, dead_letter_id) for dead_letter_id in ids)


def _discard(connection: Connection, dead_letter_id: int) -> bool:
    with connection.transaction():
        letter = show(connection, dead_letter_id)
        if letter["state"] != "dead":
            return False
        connection.execute(_SQL["discard"], letter)
        connection.execute(_SQL["discard_receipt"], letter)
        done = Counter(dead=-letter["events"], discarded=letter["events"])
        add_drained(connection, REPLAYS, {letter["site_id"]: done}, 0.0)
    return True


def replay(connection: Connection, ids: Sequence[int], settings: Settings) -> list[Replay]:
    """Store these events after all, one transaction each."""
    make_tables(connection)
    dictionaries = Dictionaries()  # of all of them: it compiles every schema
    with lane_lock(connection, REPLAYS, wait=True):
        return [_replay(connection, dead_letter_id, dictionaries, settings) for dead_letter_id in ids]


def _replay(connection: Connection, dead_letter_id: int, dictionaries: Dictionaries, settings: Settings) -> Replay:
    try:
        seen = show(connection, dead_letter_id)
        staged = _staged(seen)
        if staged is None:
            return Replay(dead_letter_id, "dead", why_kept(seen) or _UNREADABLE)
        dictionaries.learn(connection, [staged])
        site_id, event_type = staged.batch.site_id, staged.event.event_type
        why = dictionaries.fits.misfit(staged.event)
        if why is not None and site_id in dictionaries.fits.strict:
            return Replay(dead_letter_id, "dead", f"patch it first: {why}")
        with connection.transaction():
            letter = show(connection, dead_letter_id)
            if letter["state"] != "dead":
                return Replay(dead_letter_id, "already resolved", letter["state"])
            if letter["raw"] != seen["raw"]:
                return Replay(dead_letter_id, "dead", "it was patched just now: replay it again")
            floor = floors.held(connection, [site_id]).get(site_id)
            if floor is not None and staged.event.occurred_at < floor.at:
                return Replay(dead_letter_id, "dead", f"patch occurred_at first: {floor.poison.reason}")
            known = known_events(connection, [(staged.batch.site_id, staged.event.event_id)])
            write(connection, [] if known else [staged], dictionaries, settings)
            count_warnings(connection, REPLAYS, {(site_id, event_type): (1, why)} if why and not known else {})
            _settle(connection, letter, stored=1 - len(known))
    except msgspec.ValidationError as error:
        return Replay(dead_letter_id, "dead", f"patch it first: {error}")
    except psycopg.Error as error:
        if not is_poison(error):
            raise
        return Replay(dead_letter_id, "dead", error.diag.message_primary or str(error))
    return Replay(dead_letter_id, "duplicate" if known else "replayed")


def _settle(connection: Connection, letter: dict[str, Any], stored: int) -> None:
    duplicate = 1 - stored
    state = {"dead_letter_id": letter["dead_letter_id"], "state": "replayed" if stored else "duplicate"}
    connection.execute(_SQL["resolve"], state)
    receipt = {"batch_id": letter["batch_id"], "stored": stored, "duplicate": duplicate}
    connection.execute(_SQL["correct_receipt"], receipt)
    done = Counter(stored=stored, duplicate=duplicate, dead=-1)
    add_drained(connection, REPLAYS, {letter["site_id"]: done}, 0.0)


def _staged(letter: dict[str, Any]) -> Staged | None:
    if letter["event"] is None:
        return None
    event = from_json(letter["raw"])
    shared = letter["shared"] or {}
    if claims := shared.get("verified"):
        shared["verified"] = Verified(**claims)
    batch = Batch(
        site_id=letter["site_id"],
        batch_id=letter["batch_id"],
        received_at=round(letter["received_at"].timestamp() * MICROSECOND),
        events=[event],
        **shared,
    )
    return Staged(event, batch)
