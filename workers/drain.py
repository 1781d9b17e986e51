"""Moves batches from one lane of the stream into Postgres, each event once.

In: stream entries of lane k. Out: committed rows, then deleted entries. What holds after a crash: before COMMIT
nothing happened and the entries are read again as pending; between COMMIT and XDEL they are read again and their
receipts say that there is nothing to do. The advisory lock only saves work: two drains of one lane are harmless.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from uuid import UUID

import psycopg
from psycopg import errors as pg
from redis import Redis
from redis.exceptions import RedisError

from schema import live, stream
from schema.db import Connection
from schema.entry import Entry
from schema.event import now
from schema.settings import Settings
from workers import refusals
from workers.copying import make_tables
from workers.fits import count_warnings
from workers.happening import Happening
from workers.receipts import Poison
from workers.resolve import Dictionaries, Staged
from workers.store import Outcome, Poisoned, add_drained, asked_in, store_entries, write

LOCK_SPACE = 7_415  # first key of the lanes' advisory locks; the second is the lane
_TRIES_MAX = 5
_ENTRIES_FIRST = 100  # of the first read; later ones go by what entries hold
_READ_BYTES_MAX = 32 << 20
_DELIVERIES_MAX = 5  # more, and something among these entries kills its drain: they are read one by one
_DELIVERIES_ALONE_MAX = 10  # more, and it is the entry that is first now
_REHEARSALS_MAX = 200  # refused ones of one entry; a batch of 100 events needs 199 at most
_NOTHING: Poisoned = {}
logger = logging.getLogger("tripstream.drain")


class Rehearsed(Exception):
    """A rehearsal succeeded, and is rolled back."""


class Drain:
    """One lane's drain, for as long as its connections live."""

    def __init__(self, connection: Connection, redis: Redis, lane: int, settings: Settings) -> None:
        self.connection = connection
        self.redis = redis
        self.lane = lane
        self.settings = settings
        self._dictionaries = Dictionaries()
        self._happening = Happening(settings)
        self._entries = min(_ENTRIES_FIRST, settings.drain_entries_max)
        make_tables(connection)

    def run_once(self, block_ms: int = 0) -> int:
        """Drain what one read brings: what a drain that died left behind comes first. Returns events and requests
        drained."""
        alone = stream.deliveries_max(self.redis, self.lane) > _DELIVERIES_MAX
        entries = stream.read_pending(self.redis, self.lane, 1 if alone else self._entries)
        deadly = False
        if alone and entries:
            deadly = stream.deliveries(self.redis, self.lane, entries[0].entry_id) > _DELIVERIES_ALONE_MAX
        if not entries:
            entries = stream.read(self.redis, self.lane, self._entries, block_ms)
        try:
            return self._drain(entries, self._bury_whole if deadly else self._store)
        except (psycopg.Error, RedisError):
            with suppress(RedisError):  # an outage is not the entries' fault: only deaths count
                stream.excuse(self.redis, self.lane, [entry.entry_id for entry in entries])
            raise

    def _drain(self, entries: Sequence[Entry], store: Callable[[Sequence[Entry]], Iterator[Outcome]]) -> int:
        drained = 0
        if entries:  # the next read should fill one transaction: small batches need more of them
            events, size = (sum(e.events for e in entries), sum(len(e.payload) for e in entries))
            share = min(self.settings.drain_events_max / max(events, 1), _READ_BYTES_MAX / max(size, 1))
            self._entries = max(min(int(len(entries) * share), self.settings.drain_entries_max), 1)
        for chunk in chunks(entries, self.settings.drain_events_max):
            outcomes = list(store(chunk))
            stream.forget(self.redis, self.lane, [entry.entry_id for entry in chunk])
            drained += sum(outcome.taken for outcome in outcomes)
            self._slide(outcomes)
        return drained

    def run_until_empty(self, deadline: Callable[[], bool] = lambda: False) -> int:
        """Drain until nothing is left that this drain may take, or `deadline` says stop. Returns events and requests
        drained."""
        total = 0
        while not deadline():
            before = self._backlog()
            drained = self.run_once()
            total += drained
            if before == 0 or (drained == 0 and self._backlog() >= before):
                break
        return total

    def _backlog(self) -> int:
        return stream.backlog(self.redis, [self.lane])[0].batches

    def _store(self, chunk: Sequence[Entry], poisoned: Poisoned = _NOTHING) -> Iterator[Outcome]:
        """Store a chunk; where Postgres refuses a value, first without all that it is known to refuse, then by halves
        until the entry that holds the value stands alone."""
        try:
            yield self._commit(chunk, poisoned)
        except psycopg.Error as error:
            if not is_poison(error):
                raise
            if found := {} if poisoned else refusals.known(chunk):
                yield from self._store(chunk, found)
            elif len(chunk) > 1:
                yield from self._store(chunk[: len(chunk) // 2], poisoned)
                yield from self._store(chunk[len(chunk) // 2 :], poisoned)
            else:
                yield self._commit(chunk, {**self._find_poison(chunk[0], poisoned, error), **poisoned})

    def _commit(self, chunk: Sequence[Entry], poisoned: Poisoned) -> Outcome:
        """One transaction; serialization failures and deadlocks are tried again."""
        self._dictionaries.erased.refresh(self.connection)  # first: what they bury must not enter a dictionary
        staged = self._staged(chunk, poisoned)
        for attempt in range(_TRIES_MAX):
            started = time.perf_counter()
            try:
                self._dictionaries.learn(self.connection, staged)
                asked = [a for a in asked_in(chunk, poisoned) if not self._dictionaries.erased.buries_request(a)]
                self._dictionaries.learn_requests(self.connection, asked)
                with self.connection.transaction():
                    outcome, per_site = store_entries(
                        self.connection, chunk, poisoned, self._dictionaries, self.settings
                    )
                    count_warnings(self.connection, self.lane, outcome.warned)
                    add_drained(self.connection, self.lane, per_site, time.perf_counter() - started)
                break
            except (pg.SerializationFailure, pg.DeadlockDetected):
                if attempt == _TRIES_MAX - 1:
                    raise
            except pg.CheckViolation as error:
                if attempt or error.diag.constraint_name:
                    raise
                self._dictionaries.forget_months()  # retention dropped one that this drain had seen
        if outcome.batches:
            figures = {"batches": outcome.batches, "stored": len(outcome.stored), "duplicate": outcome.duplicate}
            first = {"lane": self.lane, "batch_id": str(chunk[0].batch_id), "dead": outcome.dead}
            logger.log(logging.WARNING if outcome.dead else logging.INFO, "drained", extra=first | figures)
        return outcome

    def _staged(self, chunk: Sequence[Entry], poisoned: Poisoned) -> list[Staged]:
        """The events of these entries that are to be stored, unless they are known already."""
        erased = self._dictionaries.erased
        return [
            Staged(event, entry.batch)
            for entry in chunk
            if entry.batch is not None
            for ordinal, event in enumerate(entry.batch.events)
            if (entry.batch_id, ordinal) not in poisoned and not erased.buries(event, entry.batch)
        ]

    def _bury_whole(self, chunk: Sequence[Entry]) -> Iterator[Outcome]:
        """Keep every event of these entries as a dead letter, without looking at it: whoever looked died."""
        why = Poison(f"more than {_DELIVERIES_ALONE_MAX} drains died of it", None)
        yield self._commit(chunk, {(e.batch_id, ordinal): why for e in chunk for ordinal in range(e.events or 1)})

    def _find_poison(self, entry: Entry, poisoned: Poisoned, error: psycopg.Error) -> Poisoned:
        """Which more events of one entry Postgres refuses; all of them where none can be told apart. A request is
        one."""
        asked = [
            (ordinal, Staged(event, batch))
            for batch in ([] if entry.batch is None else [entry.batch])
            for ordinal, event in enumerate(batch.events)
            if (entry.batch_id, ordinal) not in poisoned and not self._dictionaries.erased.buries(event, batch)
        ]
        found = {(entry.batch_id, ordinal): poison for ordinal, poison in self._bisect(asked, count(1))}
        return found or {(entry.batch_id, ordinal): _poison(error) for ordinal in range(entry.events or 1)}

    def _bisect(self, asked: Sequence[tuple[int, Staged]], rehearsals: Iterator[int]) -> Iterator[tuple[int, Poison]]:
        """Poison by ordinal. After very many rehearsals, what was not stored in one counts as poison too."""
        error = self._rehearse([staged for _, staged in asked])
        if error is None:
            return
        if len(asked) == 1 or next(rehearsals) > _REHEARSALS_MAX:
            yield from ((ordinal, _poison(error)) for ordinal, _ in asked)
            return
        middle = len(asked) // 2
        yield from self._bisect(asked[:middle], rehearsals)
        yield from self._bisect(asked[middle:], rehearsals)

    def _rehearse(self, events: Sequence[Staged]) -> psycopg.Error | None:
        """Write the events and roll back. Returns the error, if it is the events' fault."""
        try:
            self._dictionaries.learn(self.connection, events)
            with self.connection.transaction():
                write(self.connection, events, self._dictionaries, self.settings)
                raise Rehearsed
        except Rehearsed:
            return None
        except psycopg.Error as error:
            if not is_poison(error):
                raise
            return error

    def _slide(self, outcomes: Sequence[Outcome]) -> None:
        """Keep live sessions alive, and tell whoever watches. Best effort: the rows are committed, and a full Redis may
        refuse this."""
        seen: defaultdict[str, dict[UUID, int]] = defaultdict(dict)
        for outcome in outcomes:
            for event, batch in outcome.stored:
                if event.session_id is not None:
                    seen[batch.site_id][event.session_id] = batch.received_at // 1000
        pipe = self.redis.pipeline(transaction=False)  # one answer to wait for, and one fsync
        live.slide(pipe, seen)
        self._happening.tell(outcomes, self._dictionaries, now(), pipe)
        try:
            pipe.execute()
        except RedisError as error:
            logger.warning("live sessions and figures were not moved on", extra={"error": type(error).__name__})


@contextmanager
def lane_lock(connection: Connection, lane: int, *, wait: bool = False) -> Iterator[bool]:
    """The lane's advisory lock; yields whether it was had. `wait` blocks until it is."""
    if wait:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_SPACE, lane))
        had = True
    else:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_SPACE, lane)).fetchone()
        had = bool(row and row[0])
    try:
        yield had
    finally:
        if had and not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_SPACE, lane))


def chunks(entries: Sequence[Entry], events_max: int) -> Iterator[list[Entry]]:
    """Entries in order, at most `events_max` events or requests together; an entry larger than that stands alone."""
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        weight = entry.events or 1
        if chunk and size + weight > events_max:
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += weight
    if chunk:
        yield chunk


def is_poison(error: psycopg.Error) -> bool:
    """Whether a value is to blame (data exceptions, violated checks, limits), and not the server or the schedule."""
    return (error.sqlstate is None and isinstance(error, psycopg.DataError)) or (error.sqlstate or "")[:2] in (
        "22",
        "23",
        "54",
    )


def _poison(error: psycopg.Error) -> Poison:
    what = error.diag.message_primary or str(error).split("\n", 1)[0]
    where = error.diag.column_name or error.diag.constraint_name
    return Poison(f"{what} ({where})" if where else what, error.sqlstate)
