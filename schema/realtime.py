"""What happens on each site now, kept in Redis for half an hour. All keys of it are documented here and touched only
here; they live in REDIS_URL's Redis. {m} is a minute and {f} five minutes, counted from 1970.

    rt:changed:{site}       hash          "n" grows with every write: whoever watches a site asks for this alone
    rt:seconds:{site}:{m}   hash          "{five seconds since 1970} {event type}" -> events
    rt:minute:{site}:{m}    hash          event type -> events
    rt:visitors:{site}:{m}  HyperLogLog   of 32 bits of each visitor's key
    rt:trips:{site}:{f}     sorted set    trip id -> events about it, but for impressions; the first thousand
    rt:pages:{site}:{f}     sorted set    path -> page views; the first thousand
    rt:latest:{site}        list          JSON of Latest, as they were drained
    rt:ticket:{sha256}      string        JSON of Ticket: who may listen without a key

In: what a drain stored (workers/happening.py). Out: figures of the last minute and half hour. An event is counted in
the minute in which it happened; nobody's id is in here, and every key expires. Losing them costs a half hour's view.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from schema.event import MICROSECOND

SLOT_US = 5 * MICROSECOND
MINUTES = 30
SLOTS = 12  # a minute's
FIVE = 5 * SLOTS  # five minutes' slots
ACTIVE_MINUTES = 5
LATEST = 20
WINDOW_US = MINUTES * 60 * MICROSECOND
_KEPT_SECONDS = (MINUTES + 5) * 60  # of five minutes the last is still looked at when the first is half an hour old
_MEMBERS_MAX = 1000  # of one sorted set: a stranger who makes up paths pushes out what is rare
_WRITTEN_MAX = 200  # of one transaction's trips and paths, the most frequent: more than so many come under load only
_READ_MAX = 100


class Latest(msgspec.Struct, array_like=True):
    """One event, as it may be shown on a wall."""

    occurred_at: int
    event_type: str
    path: str | None = None
    trip_id: int | None = None
    source: str | None = None
    country: str | None = None
    device_type: str | None = None


class Ticket(msgspec.Struct):
    """What a ticket is good for: a site's figures, for as long as its maker's key lives, until the microsecond
    `ends_at` at the latest. `key_hash` is None for who asked from this machine without a key."""

    site_id: str
    key_hash: str | None
    ends_at: int


class Happened(NamedTuple):
    """What one transaction stored of one site: events by slot (of five seconds since 1970) and type, visitors by slot,
    events by five minutes and trip, page views by five minutes and path, and the newest events."""

    events: Mapping[tuple[int, str], int]
    visitors: Collection[tuple[int, int]]
    trips: Mapping[int, Counter[int]]
    pages: Mapping[int, Counter[str]]
    latest: Sequence[Latest]


class Now(NamedTuple):
    """What is known of a site at one moment. `by_minute` ends with the minute that is going on."""

    version: int
    last_minute: Mapping[str, int]
    last_half_hour: Mapping[str, int]
    by_minute: Sequence[tuple[int, int]]
    active_visitors: int
    visitors: int
    trips: Sequence[tuple[int, int]]
    pages: Sequence[tuple[str, int]]
    latest: Sequence[Latest]


_LATEST_DECODER = msgspec.json.Decoder(Latest)
_TICKET_DECODER = msgspec.json.Decoder(Ticket)


_WRITE = """
local kept, at = ARGV[1], 3
local function words()
    local found, n = {}, tonumber(ARGV[at])
    for i = 1, n do found[i] = ARGV[at + i] end
    at = at + n + 1
    return found
end
for _, key in ipairs(KEYS) do
    local does = ARGV[at]
    at = at + 1
    local given = words()
    if does == 'PFADD' then
        for i = 1, #given, 1000 do redis.call('PFADD', key, unpack(given, i, math.min(i + 999, #given))) end
    elseif does == 'LPUSH' then
        redis.call('LPUSH', key, unpack(given))
        redis.call('LTRIM', key, 0, 49)
    else
        for i = 1, #given, 2 do redis.call(does, key, given[i], given[i + 1]) end
        if does == 'ZINCRBY' then redis.call('ZREMRANGEBYRANK', key, 0, -ARGV[2] - 1) end
    end
    redis.call('EXPIRE', key, kept)
end
"""


def write(redis: Any, happened: Mapping[str, Happened], at: int) -> None:
    """Add what happened on each site until `at`. One script, in which thousands of counts are
    words of one command: a pipeline of as many commands took three times as long."""
    keys: list[str] = []
    words: list[Any] = [_KEPT_SECONDS, _MEMBERS_MAX]
    for site_id, one in happened.items():
        for does, key, given in _changes(site_id, one, fine_since(at)):
            keys.append(key)
            words += (does, len(given), *given)
    redis.eval(_WRITE, len(keys), *keys, *words)


def _changes(site_id: str, one: Happened, fine: int) -> Iterator[tuple[str, str, list[Any]]]:
    """What to do to which key, with which words."""
    for key, counts in _hashes(site_id, one.events, fine):
        yield "HINCRBY", key, [word for pair in counts.items() for word in pair]
    for minute, visitors in _by(one.visitors, SLOTS).items():
        yield "PFADD", f"rt:visitors:{site_id}:{minute}", list(visitors)
    for five, trips in one.trips.items():
        yield "ZINCRBY", f"rt:trips:{site_id}:{five}", _most(trips)
    for five, pages in one.pages.items():
        yield "ZINCRBY", f"rt:pages:{site_id}:{five}", _most(pages)
    if one.latest:
        yield "LPUSH", f"rt:latest:{site_id}", [msgspec.json.encode(latest) for latest in one.latest]
    yield "HINCRBY", f"rt:changed:{site_id}", ["n", 1]


def fine_since(at: int) -> int:
    """The first slot that the last minute may still be asked of."""
    return (at // SLOT_US // SLOTS - 1) * SLOTS


def ask_version(client: Any, site_id: str) -> Any:
    """What changes with every write; None where nothing happened for long."""
    return client.hget(f"rt:changed:{site_id}", "n")


def ask(pipe: Any, site_id: str, at: int) -> None:
    """Queue the questions whose answers `read` reads. The version comes first: what is written meanwhile is news."""
    minute = at // (60 * MICROSECOND)
    minutes = range(minute - MINUTES + 1, minute + 1)
    ask_version(pipe, site_id)
    for one in minutes:
        pipe.hgetall(f"rt:minute:{site_id}:{one}")
    for one in minutes[-2:]:
        pipe.hgetall(f"rt:seconds:{site_id}:{one}")
    for reach in (ACTIVE_MINUTES, MINUTES):
        pipe.pfcount(*(f"rt:visitors:{site_id}:{one}" for one in minutes[-reach:]))
    for name in ("trips", "pages"):
        for five in _fives(minute):
            pipe.zrevrange(f"rt:{name}:{site_id}:{five}", 0, _READ_MAX - 1, withscores=True)
    pipe.lrange(f"rt:latest:{site_id}", 0, -1)


def read(answers: Iterable[Any], at: int, top: int = 10) -> Now:
    """What the answers to `ask` say."""
    told = iter(answers)
    minute = at // (60 * MICROSECOND)
    version = int(next(told) or 0)
    by_minute = [_counts(next(told)) for _ in range(MINUTES)]
    after = at // SLOT_US - SLOTS
    last_minute: Counter[str] = Counter()
    for field, n in [pair for _ in range(2) for pair in _counts(next(told)).items()]:
        slot, event_type = field.split(" ", 1)
        if int(slot) > after:
            last_minute[event_type] += n
    active, visitors = int(next(told)), int(next(told))
    fives = len(_fives(minute))
    trips, pages = (_top([next(told) for _ in range(fives)], top) for _ in range(2))
    latest = sorted(map(_LATEST_DECODER.decode, next(told)), key=lambda one: -one.occurred_at)
    return Now(
        version,
        last_minute,
        sum(by_minute, Counter()),
        [(minute - MINUTES + 1 + n, counts.total()) for n, counts in enumerate(by_minute)],
        active,
        visitors,
        [(int(trip), n) for trip, n in trips],
        pages,
        [one for one in latest if one.occurred_at > at - WINDOW_US][:LATEST],
    )


def forget(redis: Any, site_id: str, mentions: Callable[[str], Any] = lambda _: False) -> int:
    """Delete what is known of a site's events one by one, and who was counted: counts stay, but for those of pages that
    `mentions` says to delete. Returns how many keys."""
    for key in redis.scan_iter(f"rt:pages:{site_id}:*", count=1000):
        pages = [page for page, _ in redis.zscan_iter(key) if mentions(page.decode(errors="replace"))]
        if pages:
            redis.zrem(key, *pages)
    keys = list(redis.scan_iter(f"rt:visitors:{site_id}:*", count=1000))
    return int(redis.delete(f"rt:latest:{site_id}", *keys))


def keep_ticket(client: Any, secret: str, ticket: Ticket, seconds: int) -> Any:
    """Make a ticket good for `seconds`."""
    return client.set(_ticket_key(secret), msgspec.json.encode(ticket), ex=seconds)


def ask_ticket(client: Any, secret: str) -> Any:
    """What was kept of it, for `read_ticket`."""
    return client.get(_ticket_key(secret))


def read_ticket(kept: bytes | None, at: int) -> Ticket | None:
    """The ticket, if there is one and it has not ended."""
    ticket = _TICKET_DECODER.decode(kept) if kept else None
    return ticket if ticket is not None and ticket.ends_at > at else None


def extend_ticket(client: Any, secret: str, seconds: int) -> Any:
    """Keep a ticket that is in use for `seconds` more."""
    return client.expire(_ticket_key(secret), seconds)


def _ticket_key(secret: str) -> str:
    """Whoever looks into Redis finds no ticket there."""
    return f"rt:ticket:{hashlib.sha256(secret.encode()).hexdigest()}"


def _hashes(site_id: str, events: Mapping[tuple[int, str], int], fine: int) -> Iterator[tuple[str, Counter[str]]]:
    """The hashes that events by slot and type go to, with what is added to each of their fields. Slots before `fine`
    are counted by the minute only: nobody asks for them."""
    found: dict[str, Counter[str]] = {}
    for (slot, event_type), n in events.items():
        minute = slot // SLOTS
        if slot >= fine:
            found.setdefault(f"rt:seconds:{site_id}:{minute}", Counter())[f"{slot} {event_type}"] += n
        found.setdefault(f"rt:minute:{site_id}:{minute}", Counter())[event_type] += n
    yield from found.items()


def _by(pairs: Iterable[tuple[int, Any]], slots: int) -> dict[int, set[Any]]:
    found: dict[int, set[Any]] = {}
    for slot, value in pairs:
        found.setdefault(slot // slots, set()).add(value)
    return found


def _most(counts: Counter[Any]) -> list[Any]:
    most = counts.most_common(_WRITTEN_MAX) if len(counts) > _WRITTEN_MAX else counts.items()
    return [word for member, n in most for word in (n, member)]


def _fives(minute: int) -> range:
    """The six that end with the present one: 25 to 30 minutes."""
    five = minute * SLOTS // FIVE
    return range(five - MINUTES * SLOTS // FIVE + 1, five + 1)


def _counts(answer: Mapping[bytes, bytes]) -> Counter[str]:
    return Counter({field.decode(): int(n) for field, n in answer.items()})


def _top(answers: Iterable[Sequence[tuple[bytes, float]]], most: int) -> list[tuple[str, int]]:
    """The most frequent members of several sorted sets; of equal ones the first by name."""
    found: Counter[str] = Counter()
    for pairs in answers:
        for member, n in pairs:
            found[member.decode()] += int(n)
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
