"""What a drain tells of the events it stored to whoever watches. In: stored events, after their COMMIT. Out: live
figures in Redis (schema/realtime.py), by the time at which events happened.

Best effort: a crash between COMMIT and here, or a Redis that is away or full, costs the view of half an hour and no
event. Bots, and what happened longer ago (late events, imports, an old backlog), are not live.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import RedisError

from schema import realtime, stream
from schema.event import Event
from schema.realtime import FIVE, LATEST, SLOT_US, SLOTS, WINDOW_US, Happened
from schema.settings import Settings
from workers.resolve import Dictionaries, Staged
from workers.store import Outcome

_PATH_MAX = 200
_AWAY_SECONDS = 10.0  # a Redis that did not answer is left alone for so long: the drain must not wait for it each time
_UNREGISTERED = "unregistered"
logger = logging.getLogger("tripstream.drain")


class Happening:
    """Writes to the live figures: into the drain's own pipeline, where the streams share their Redis."""

    def __init__(self, settings: Settings) -> None:
        shared = settings.redis_url == settings.streams_url
        self._own = None if shared else stream.connect(settings.redis_url, seconds_max=1.0)
        self._not_before = 0.0

    def tell(self, outcomes: Sequence[Outcome], dictionaries: Dictionaries, at: int, pipe: Any) -> None:
        """Count what was stored, as of the microsecond `at`."""
        if self._own is None:
            _write(pipe, outcomes, dictionaries, at)
        elif time.monotonic() >= self._not_before:
            try:
                _write(self._own, outcomes, dictionaries, at)
            except RedisError as error:
                self._not_before = time.monotonic() + _AWAY_SECONDS
                logger.warning("live figures were not written", extra={"error": type(error).__name__})


def _write(client: Any, outcomes: Sequence[Outcome], dictionaries: Dictionaries, at: int) -> None:
    for outcome in outcomes:
        if happened := gather(outcome.stored, dictionaries, at):
            realtime.write(client, happened, at)


class _Site:
    """What is gathered of one site. Older than two minutes, events are counted by the minute: slots are nobody's."""

    def __init__(self) -> None:
        self.events: defaultdict[tuple[int, str], int] = defaultdict(int)
        self.visitors: set[tuple[int, int | str]] = set()
        self.trips: defaultdict[int, list[int]] = defaultdict(list)
        self.pages: defaultdict[int, list[str]] = defaultdict(list)
        self.latest: deque[Staged] = deque(maxlen=LATEST)


def gather(stored: Sequence[Staged], dictionaries: Dictionaries, at: int) -> dict[str, Happened]:
    """What is live of these events, per site. Passes over each event once, with few words: this is time that a drain
    does not drain."""
    sites: defaultdict[str, _Site] = defaultdict(_Site)
    since, fine = at - WINDOW_US, realtime.fine_since(at)
    of, site, is_bot = None, _Site(), False
    events, trips, pages, latest = site.events, site.trips, site.pages, site.latest
    seen: tuple[int, int | str] = (0, 0)  # slot and visitor, who mostly sends a batch alone
    for staged in stored:
        event, batch = staged
        if batch is not of:
            of, site, is_bot = batch, sites[batch.site_id], dictionaries.is_bot(batch.user_agent)
            events, trips, pages, latest = site.events, site.trips, site.pages, site.latest
            seen = (0, 0)
        happened_at, event_type, visitor = event.occurred_at, event.event_type, event.anonymous_id
        if happened_at <= since or (dictionaries.is_bot(event.user_agent) if event.user_agent else is_bot):
            continue
        slot = happened_at // SLOT_US
        if slot < fine:
            slot -= slot % SLOTS
        events[slot, event_type] += 1
        who = visitor.int if visitor is not None else event.claimed_user or batch.batch_id.int
        if who != seen[1] or slot != seen[0]:
            seen = (slot, who)
            site.visitors.add(seen)
        latest.append(staged)
        if event.trip_id is not None and event_type != "impression":
            trips[slot // FIVE].append(event.trip_id)
        if event_type == "page_view" and event.path is not None:
            pages[slot // FIVE].append(event.path[:_PATH_MAX])
    return {site_id: _happened(one, dictionaries) for site_id, one in sites.items() if one.events}


def _happened(site: _Site, dictionaries: Dictionaries) -> Happened:
    """As it is written: visitors as 32 bits, and no more names of types than there are types."""
    events = site.events
    for slot, event_type in [key for key in events if key[1] in dictionaries.unregistered]:
        events[slot, _UNREGISTERED] += events.pop((slot, event_type))
    visitors = {(slot, _folded(visitor)) for slot, visitor in site.visitors}
    trips = {five: Counter(named) for five, named in site.trips.items()}
    pages = {five: Counter(named) for five, named in site.pages.items()}
    return Happened(events, visitors, trips, pages, list(_latest(site.latest, dictionaries)))


def _folded(visitor: int | str) -> int:
    """32 bits of it: enough to count by, too few to be an id. Of an int, Python's hash is the same everywhere."""
    return (hash(visitor) if isinstance(visitor, int) else zlib.crc32(visitor.encode())) & 0xFFFF_FFFF


def _latest(staged: Iterable[Staged], dictionaries: Dictionaries) -> Iterable[realtime.Latest]:
    for event, batch in staged:
        device = event.device_type or dictionaries.device_type(event, batch)
        path = event.path and event.path[:_PATH_MAX]
        name = _name(event, dictionaries)
        yield realtime.Latest(event.occurred_at, name, path, event.trip_id, event.source, batch.country, device)


def _name(event: Event, dictionaries: Dictionaries) -> str:
    return _UNREGISTERED if event.event_type in dictionaries.unregistered else event.event_type
