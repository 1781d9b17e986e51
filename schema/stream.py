"""The queue between accept and drain. Every Redis key of the event path is documented here and touched only here.

    ev:{k}              stream     lane k: one entry a batch. Fields: v (format), s (site), b (batch id, 16 bytes),
                                   n (events), d (Batch.pack()); or one answered request for recommendations: k
                                   ("request"; events where missing), b (its request id), n 0, d (Asked.pack()).
                                   Consumer group "pg", one consumer, "drain". Entries are deleted once stored, so
                                   XLEN is the backlog. Never trimmed (MAXLEN destroyed pending and unread entries
                                   when measured).
    ev:lanes            set        every lane that was ever appended to, so that a removed one is still drained
    accepted:{site}     hash       field "events": how many were promised; grows in the script that appends them. Field
                                   "base": what Postgres had mirrored is in there (or Redis was emptied since)
    rejected:{site}     hash       field "{event type} {reason}": how many were refused in a response
    draining:{k}        string     a drain of lane k is alive (expires in seconds); what the clock looks at
    pause               string     drains make way for whoever wants the lanes' locks (expires in seconds)
    ticking             string     a clock is alive (expires in seconds); what doctor looks at

In: batches from ingest. Out: batches for the drain, and figures about the backlog. After a crash at any point an
entry is either not there (and was not acknowledged to its sender), or there until its rows are committed.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from redis import Redis
from redis.exceptions import ResponseError

from schema import entry
from schema.asked import Asked
from schema.entry import Entry
from schema.event import Batch

GROUP = "pg"
CONSUMER = "drain"
LANES_KEY = "ev:lanes"
_LOOKED_AT_MAX = 20_000
_LOOK_BYTES = 4 << 20
_APPENDED_MS_MAX = 10_000  # between a request and its entry: clocks that differ, and a Redis that is slow


class Packed(NamedTuple):
    """A batch as its entry will hold it; `batch_id` in 16 bytes."""

    lane: int
    site_id: str
    batch_id: bytes
    events: int
    payload: bytes


class Backlog(NamedTuple):
    """What waits in one lane."""

    lane: int
    batches: int
    oldest_ms: int | None


def connect(url: str, seconds_max: float = 10.0) -> Redis:
    """A client that never retries by itself: redis-py's own retries were measured to append an entry twice."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        url,
        socket_timeout=seconds_max,
        socket_connect_timeout=min(seconds_max, 5.0),
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def lane_of(visitor: bytes, lanes: int) -> int:
    """The lane of a request, by its first visitor. Correctness never depends on it."""
    return zlib.crc32(visitor) % lanes


# One script for a group: one answer to read, where MULTI brings one for each command (13 µs of CPU, against 23).
# A lane makes itself known with its first entry: ingest may have been told of more lanes than the drains were.
APPEND = """
local counts = tonumber(ARGV[1]) * 5 + 2
local known = {}
for i = 2, counts - 1, 5 do
    if not known[ARGV[i]] then
        known[ARGV[i]] = redis.call('SADD', 'ev:lanes', string.sub(ARGV[i], 4))
    end
    redis.call('XADD', ARGV[i], '*', 'v', '1', 's', ARGV[i + 1], 'b', ARGV[i + 2], 'n', ARGV[i + 3], 'd', ARGV[i + 4])
end
for i = counts, #ARGV, 3 do redis.call('HINCRBY', ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
"""

_APPEND_ASKED = """
redis.call('SADD', 'ev:lanes', string.sub(ARGV[1], 4))
redis.call('XADD', ARGV[1], '*', 'v', '1', 'k', 'request', 's', ARGV[2], 'b', ARGV[3], 'n', 0, 'd', ARGV[4])
"""

# Payloads stay where they are: to read them all out for the sake of 16 bytes each took seconds. Nobody else is served
# meanwhile, so one call looks at so many bytes only.
_FIND = """
local start, size, seen, last = ARGV[2], 0, 0, ''
while size < tonumber(ARGV[5]) do
    local rows = redis.call('XRANGE', ARGV[1], start, ARGV[3], 'COUNT', 8)
    if #rows == 0 then break end
    for _, row in ipairs(rows) do
        seen, last = seen + 1, row[1]
        for i = 1, #row[2], 2 do
            if row[2][i] == 'b' and row[2][i + 1] == ARGV[4] then return {seen, last, row[2]} end
            size = size + 100 + #row[2][i + 1]
        end
    end
    start = '(' .. last
end
return {seen, last}
"""

_FORGET_LANE = "return redis.call('XLEN', ARGV[1]) == 0 and redis.call('SREM', ARGV[2], ARGV[3]) + 1 or 0"


def pack(lane: int, batch: Batch) -> Packed:
    """The batch in bytes, which is all of it that has to wait for its turn."""
    return Packed(lane, batch.site_id, batch.batch_id.bytes, batch.accepted, batch.pack())


def arguments(batches: Sequence[Packed], rejected: Iterable[tuple[str, Mapping[str, int]]]) -> list[str | bytes | int]:
    """What APPEND takes to make a promise of batches and to count refusals (site, reasons): all or nothing."""
    found: list[str | bytes | int] = [len(batches)]
    counts: Counter[tuple[str, str]] = Counter()
    for lane, site_id, batch_id, events, payload in batches:
        counts[f"accepted:{site_id}", "events"] += events
        found += (f"ev:{lane}", site_id, batch_id, events, payload)
    for site_id, reasons in rejected:
        for reason, n in reasons.items():
            counts[f"rejected:{site_id}", reason] += n
    for (key, field), n in counts.items():
        found += (key, field, n)
    return found


def append(client: Any, lane: int, *batches: Batch) -> Any:
    """Make a promise of these batches, all or none, through a client or into a pipeline."""
    return client.eval(APPEND, 0, *arguments([pack(lane, batch) for batch in batches], []))


def append_asked(client: Any, lane: int, asked: Asked) -> Any:
    """Queue one answered request, through a client, synchronous or not, or into a pipeline. It moves no `accepted`."""
    return client.eval(_APPEND_ASKED, 0, f"ev:{lane}", asked.site_id, asked.request_id.bytes, asked.pack())


def accepted(redis: Redis, sites: Iterable[str]) -> dict[str, int]:
    """Events promised so far, per site."""
    return {site: int(_value(redis.hget(f"accepted:{site}", "events")) or 0) for site in sites}


def heal_accepted(redis: Redis, site_id: str, mirrored: int) -> int:
    """Events promised so far. A Redis that was emptied counts from nothing: it is given what had been mirrored."""
    key = f"accepted:{site_id}"
    events, base = _value(redis.hmget(key, "events", "base"))
    missing = mirrored if base is None else mirrored - int(events or 0)
    if base is None or missing > 0:
        pipe = redis.pipeline(transaction=True)
        pipe.hset(key, "base", 1)
        pipe.hincrby(key, "events", max(missing, 0))
        return int(pipe.execute()[1])
    return int(events)


def rejected(redis: Redis, site_id: str) -> dict[str, int]:
    """Events refused so far, by event type and reason."""
    found: dict[bytes, bytes] = _value(redis.hgetall(f"rejected:{site_id}"))
    return {reason.decode(errors="replace"): int(n) for reason, n in found.items()}


def open_lanes(redis: Redis, lanes: int) -> None:
    """Make the lanes, and the consumer group of every lane that is known. From 0, never "$": entries that came first
    are read too.

    Writes only what is missing: a full Redis refuses even a write that would change nothing, and must be drained.
    """
    for lane in known_lanes(redis, lanes):
        if not redis.sismember(LANES_KEY, str(lane)):
            redis.sadd(LANES_KEY, lane)
        if _has_group(redis, lane):
            continue
        try:
            redis.xgroup_create(f"ev:{lane}", GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def known_lanes(redis: Redis, lanes: int) -> list[int]:
    """The configured lanes and those that were removed but may still hold entries."""
    return sorted({*range(lanes), *(int(k) for k in _value(redis.smembers(LANES_KEY)))})


def forget_lane(redis: Redis, lane: int) -> bool:
    """A removed lane that is empty needs no drain any more, until something is appended to it. Returns whether it was
    empty."""
    return bool(redis.eval(_FORGET_LANE, 0, f"ev:{lane}", LANES_KEY, lane))


def read(redis: Redis, lane: int, count: int, block_ms: int) -> list[Entry]:
    """Entries never delivered before, waiting up to `block_ms` for the first (0: not at all)."""
    return _read(redis, lane, ">", count, block_ms or None)


def read_pending(redis: Redis, lane: int, count: int, after: str = "0") -> list[Entry]:
    """Entries delivered before and not acknowledged, after the id `after`: what a drain that died left behind."""
    return _read(redis, lane, after, count, None)


def deliveries_max(redis: Redis, lane: int) -> int:
    """How often the most-delivered of the first pending entries was delivered. 0 when none is pending."""
    rows: list[dict[str, Any]] = _value(redis.xpending_range(f"ev:{lane}", GROUP, "-", "+", 100))
    return max((int(row["times_delivered"]) for row in rows), default=0)


def deliveries(redis: Redis, lane: int, entry_id: str) -> int:
    """How often this entry was delivered; 0 when it is not pending."""
    rows: list[dict[str, Any]] = _value(redis.xpending_range(f"ev:{lane}", GROUP, entry_id, entry_id, 1))
    return int(rows[0]["times_delivered"]) if rows else 0


def excuse(redis: Redis, lane: int, entry_ids: Sequence[str]) -> None:
    """Forget how often these were delivered, where they are pending."""
    redis.xclaim(f"ev:{lane}", GROUP, CONSUMER, 0, list(entry_ids), retrycount=0, justid=True)


def adopt(redis: Redis, lane: int) -> None:
    """Take over what another consumer of the lane left pending for five minutes."""
    redis.xautoclaim(f"ev:{lane}", GROUP, CONSUMER, 300_000, "0-0", count=100)


def forget(redis: Redis, lane: int, entry_ids: Sequence[str]) -> None:
    """Delete stored entries, then acknowledge them: the other order would orphan an entry for ever in a crash
    between the two. Not in MULTI, which a full Redis refuses."""
    if entry_ids:
        pipe = redis.pipeline(transaction=False)
        pipe.xdel(f"ev:{lane}", *entry_ids)
        pipe.xack(f"ev:{lane}", GROUP, *entry_ids)
        pipe.execute()


def backlog(redis: Redis, lanes: Iterable[int]) -> list[Backlog]:
    """How much waits, and since when. XLEN, not XINFO's lag, which was wrong when measured."""
    found = []
    for lane in lanes:
        first = _value(redis.xrange(f"ev:{lane}", count=1))
        oldest = int(first[0][0].split(b"-")[0]) if first else None
        found.append(Backlog(lane, _value(redis.xlen(f"ev:{lane}")), oldest))
    return found


def snapshot(redis: Redis, lanes: Sequence[int], sites: Sequence[str]) -> tuple[dict[str, int], dict[int, str]]:
    """`accepted` per site and the last entry id per lane, read in one MULTI: the two agree with each other."""
    pipe = redis.pipeline(transaction=True)
    for site in sites:
        pipe.hget(f"accepted:{site}", "events")
    for lane in lanes:
        pipe.xrevrange(f"ev:{lane}", count=1)
    answers = pipe.execute()
    counts = {site: int(n or 0) for site, n in zip(sites, answers, strict=False)}
    tails = zip(lanes, answers[len(sites) :], strict=True)
    return counts, {lane: tail[0][0].decode() for lane, tail in tails if tail}


def waiting(redis: Redis, lane: int, until: str, page: int = 1000) -> Iterable[Entry]:
    """Every entry of a lane up to the id `until`, in pages, without consuming them."""
    start = "-"
    while rows := _value(redis.xrange(f"ev:{lane}", min=start, max=until, count=page)):
        yield from (entry.read(f"ev:{lane}", entry_id, fields) for entry_id, fields in rows)
        start = f"({rows[-1][0].decode()}"


def find(redis: Redis, lanes: Iterable[int], batch_id: UUID, received_ms: int) -> Entry | None:
    """The entry of one batch that was received at that time and still waits. Looks at what was appended within seconds
    of it, and at no more than so many of those a lane."""
    until = f"{received_ms + _APPENDED_MS_MAX}"
    for lane in lanes:
        start, left = f"{max(received_ms - _APPENDED_MS_MAX, 0)}", _LOOKED_AT_MAX
        while left > 0:
            asked = (f"ev:{lane}", start, until, batch_id.bytes, _LOOK_BYTES)
            looked_at, last, *row = _value(redis.eval(_FIND, 0, *asked))
            if row:
                return entry.read(f"ev:{lane}", last, dict(zip(row[0][::2], row[0][1::2], strict=True)))
            if not looked_at:
                break
            start, left = f"({last.decode()}", left - looked_at
    return None


def beat(redis: Redis, lane: int, seconds: int) -> None:
    """Say that a drain of this lane is alive."""
    redis.set(f"draining:{lane}", b"1", ex=seconds)


def is_draining(redis: Redis, lane: int) -> bool:
    """Whether a drain of this lane said so lately."""
    return bool(redis.exists(f"draining:{lane}"))


def pause(redis: Redis, seconds: int) -> None:
    """Ask running drains to let go of their lanes."""
    redis.set("pause", b"1", ex=seconds)


def is_paused(redis: Redis) -> bool:
    """Whether drains are asked to make way."""
    return bool(redis.exists("pause"))


def has_until(redis: Redis, lane: int, until: str) -> bool:
    """Whether any entry up to the id `until` is still in the lane."""
    return bool(redis.xrange(f"ev:{lane}", max=until, count=1))


def added(redis: Redis, lane: int) -> tuple[int, str]:
    """How many entries a lane ever got, and the last one's id."""
    found = _value(redis.xinfo_stream(f"ev:{lane}"))
    return int(found["entries-added"]), found["last-generated-id"].decode()


def beat_clock(redis: Redis) -> None:
    """Say that a clock is alive."""
    redis.set("ticking", b"1", ex=15)


def is_ticking(redis: Redis) -> bool:
    """Whether a clock said so lately."""
    return bool(redis.exists("ticking"))


def memory_share(redis: Redis) -> float:
    """Memory in use over maxmemory; 0 where there is no limit."""
    memory: dict[str, Any] = _value(redis.info("memory"))
    limit = int(memory.get("maxmemory", 0))
    return int(memory["used_memory"]) / limit if limit else 0.0


def is_full(redis: Redis) -> bool:
    """Whether Redis refuses writes, or is about to."""
    return memory_share(redis) > 0.95


def _has_group(redis: Redis, lane: int) -> bool:
    try:
        return any(group["name"] == GROUP.encode() for group in _value(redis.xinfo_groups(f"ev:{lane}")))
    except ResponseError:  # no such key
        return False


def _read(redis: Redis, lane: int, after: str, count: int, block: int | None) -> list[Entry]:
    answer = _value(redis.xreadgroup(GROUP, CONSUMER, {f"ev:{lane}": after}, count=count, block=block))
    return [entry.read(f"ev:{lane}", entry_id, fields) for _, rows in answer or [] for entry_id, fields in rows]


def _value(answer: Any) -> Any:
    """redis-py types every answer as perhaps awaitable; this client is the synchronous one."""
    return answer
