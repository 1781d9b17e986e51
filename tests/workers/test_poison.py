"""One bad event never costs its neighbours: what Postgres refuses is kept with its reason, the rest is stored."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import errors as pg

from schema import stream
from schema.event import as_json
from tests.make import MICROSECOND, T0, batch, canonical, uid
from tests.workers.pipeline import Pipeline
from workers.drain import Drain, is_poison

# What gets past a dialect only by a mistake of ours, and what is wrong with it.
POISON: dict[str, dict[str, Any]] = {
    "NUL in metadata": {"metadata": '{"a": "\\u0000"}'},
    "NUL in a key of metadata": {"metadata": '{"\\u0000": 1}'},
    "raw NUL in metadata": {"metadata": '{"a": "\0"}'},
    "NUL in utm": {"utm": '{"a": "\\u0000"}'},
    "NUL in text": {"path": "/\0"},
    "NUL in the user agent": {"user_agent": "a\0"},
    "NUL in the referrer": {"referrer": "a\0"},
    "NUL in the type": {"event_type": "a\0"},
    "NUL in the claim": {"anonymous_id": None, "claimed_user": "a\0"},
    "metadata that is no JSON": {"metadata": "{"},
    "metadata with NaN": {"metadata": '{"a": NaN}'},
    "metadata with a lone surrogate": {"metadata": '{"a": "\\ud800"}'},
    "metadata with a number beyond numeric": {"metadata": '{"a": 1e200000}'},
    "metadata nested too deep": {"metadata": "[" * 100_000 + "]" * 100_000},
    "empty metadata": {"metadata": ""},
    "trip 0": {"trip_id": 0},
    "a trip beyond bigint": {"trip_id": 2**63},
    "position -1": {"position": -1},
    "position beyond integer": {"position": 2**31},
    "score NaN": {"score": float("nan")},
    "score infinite": {"score": float("-inf")},
    "schema version beyond smallint": {"schema_version": 2**15},
    "a claim too long for its index": {
        "anonymous_id": None,
        "claimed_user": "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(9_000)),
    },
    "a type too long for its index": {"event_type": "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(9_000))},
    "a time that no calendar has": {"occurred_at": 2**62},
    "a time before all calendars": {"occurred_at": -(2**62)},
}


def dead(pipe: Pipeline) -> list[tuple[Any, ...]]:
    return pipe.rows("SELECT event_id, events, state, sqlstate FROM dead_letters ORDER BY event_id")


LETTER = (
    "SELECT event_id, site_id, events, raw, shared, state, stream_id IS NOT NULL, sqlstate, reason FROM dead_letters"
    " WHERE batch_id = %s"
)
RECEIPT = "SELECT accepted, stored, duplicate, dead, verdicts FROM batches WHERE batch_id = %s"


def test_a_bad_event_is_kept_with_its_reason_and_its_neighbours_are_stored(pipe: Pipeline) -> None:
    shared = {"ip_prefix": None, "country": "IL", "user_agent": "curl/8"}
    reasons = {}
    for n, (kind, wrong) in enumerate(POISON.items()):
        before, bad, after = canonical(10 * n), canonical(10 * n + 1, **wrong), canonical(10 * n + 2)
        try:
            sent = pipe.send(before, bad, after, user_agent="curl/8", country="IL")
        except Exception as error:
            pytest.fail(f"{kind} blocks the lane: {error!r}")
        stored = pipe.rows("SELECT event_id FROM events WHERE batch_id = %s ORDER BY 1", sent)
        assert stored == [(before.event_id,), (after.event_id,)], kind
        *letter, sqlstate, reason = pipe.row(LETTER, sent)
        assert letter == [bad.event_id, "default", 1, as_json(bad), shared, "dead", True], kind
        assert sqlstate is None or sqlstate[:2] in ("22", "23", "54"), kind
        said = {"index": 1, "verdict": "dead", "reason": reason, "event_id": str(bad.event_id)}
        *counts, (verdict,) = pipe.row(RECEIPT, sent)
        assert (*counts, said | verdict) == (3, 2, 0, 1, verdict), kind
        reasons[kind] = reason
    assert [kind for kind, reason in reasons.items() if not reason or "\n" in reason or "curl/8" in reason] == []
    count = len(POISON)
    assert pipe.row("SELECT stored, duplicate, dead FROM drained") == (2 * count, 0, count)
    assert pipe.problems() == []


SHARED: dict[str, dict[str, Any]] = {
    "NUL in the request's user agent": {"user_agent": "a\0"},
    "NUL in the country": {"country": "\0"},
    "an address that is none": {"ip_prefix": "nowhere"},
    "an address with host bits": {"ip_prefix": "203.0.113.7/24"},
}


def test_what_is_wrong_with_a_request_costs_its_events_and_no_other_request(pipe: Pipeline) -> None:
    for n, (kind, wrong) in enumerate(SHARED.items()):
        good, bad = (batch(*(canonical(100 * n + 10 * m + i) for i in (0, 1)), n=10 * n + m) for m in (0, 1))
        for name, value in wrong.items():
            setattr(bad, name, value)
        pipe.accept(bad, good)
        assert pipe.drain() == 4, kind
        stored = "SELECT stored, dead FROM batches WHERE batch_id = %s"
        assert (pipe.row(stored, good.batch_id), pipe.row(stored, bad.batch_id)) == ((2, 0), (0, 2)), kind
        letters = pipe.rows("SELECT event_id FROM dead_letters WHERE batch_id = %s ORDER BY 1", bad.batch_id)
        assert letters == [(event.event_id,) for event in bad.events], kind
    assert pipe.problems() == []


def test_among_many_batches_only_the_bad_events_are_lost(pipe: Pipeline) -> None:
    bad = {5, 6, 20, 39}
    events = [canonical(n, trip_id=0 if n in bad else 7, event_type="impression") for n in range(40)]
    pipe.accept(*(batch(*events[n : n + 8], n=n) for n in range(0, 40, 8)))
    assert pipe.drain() == 40
    assert [row[0] for row in dead(pipe)] == [uid(1, n) for n in sorted(bad)]
    assert pipe.row("SELECT impression_count FROM trip_interactions") == (36,)
    assert pipe.value("SELECT event_count FROM sessions") == 36
    assert pipe.row("SELECT transactions, stored, dead FROM drained")[1:] == (36, 4)


def test_a_bad_event_does_not_enter_the_ledger_and_a_good_resend_is_stored(pipe: Pipeline) -> None:
    pipe.send(canonical(1, trip_id=0))
    assert pipe.value("SELECT count(*) FROM event_ids") == 0
    pipe.send(canonical(1, trip_id=1))
    assert pipe.value("SELECT count(*) FROM events") == 1


def unreadable(pipe: Pipeline, **fields: object) -> None:
    pipe.redis.xadd("ev:0", {"v": b"1", "s": "default", "b": uid(4, 77).bytes, "n": 3, "d": b"\xc1"} | fields)
    pipe.redis.hincrby("accepted:default", "events", 3)


def test_an_entry_that_cannot_be_read_is_kept_whole(pipe: Pipeline) -> None:
    pipe.accept(batch(n=1))
    unreadable(pipe)
    pipe.accept(batch(n=2))
    assert pipe.drain() == 5
    assert dead(pipe) == [(None, 3, "dead", None)]
    assert pipe.row("SELECT raw, reason, shared FROM dead_letters") == (b"\xc1", "the entry cannot be read", None)
    assert pipe.row("SELECT accepted, dead, verdicts FROM batches WHERE dead > 0") == (
        3,
        3,
        [{"index": None, "verdict": "dead", "reason": "the entry cannot be read"}],
    )
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert pipe.problems() == []


def test_an_entry_of_another_format_is_kept_and_so_is_one_that_is_no_batch_at_all(pipe: Pipeline) -> None:
    unreadable(pipe, v=b"2", d=batch().pack())
    pipe.redis.xadd("ev:0", {"what": "is this"})
    pipe.drain()
    assert [row[1] for row in dead(pipe)] == [3, 0]
    kept = pipe.rows("SELECT raw FROM dead_letters ORDER BY dead_letter_id")
    assert kept[0] == (batch().pack(),)
    assert msgspec.msgpack.decode(kept[1][0]) == {b"what": b"is this"}
    assert pipe.redis.xlen("ev:0") == 0


def test_an_empty_batch_is_a_receipt_and_nothing_else(pipe: Pipeline) -> None:
    empty = batch(n=1)
    empty.events = []
    pipe.accept(empty)
    assert pipe.drain() == 0
    assert pipe.row("SELECT accepted, stored FROM batches") == (0, 0)
    assert pipe.redis.xlen("ev:0") == 0


def test_entries_that_were_delivered_too_often_are_taken_one_by_one(pipe: Pipeline) -> None:
    pipe.accept(*(batch(n=n) for n in range(3)))
    stream.read(pipe.redis, 0, 10, 0)
    for _ in range(6):
        stream.read_pending(pipe.redis, 0, 10)
    assert pipe.drain() == 3
    assert pipe.row("SELECT transactions, batches FROM drained") == (3, 3)


def test_only_a_value_is_dead_lettered_never_the_servers_trouble() -> None:
    values = ("22P05", "22003", "23514", "23505", "54001")
    trouble = ["40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "08006", "42P01", "25006", "XX001"]
    assert [state for state in (*values, *trouble) if is_poison(pg.lookup(state)())] == list(values)


def test_what_the_driver_refuses_is_poison_and_a_lost_connection_is_not() -> None:
    assert is_poison(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))
    assert not is_poison(psycopg.OperationalError("the connection is lost"))


def test_the_servers_trouble_leaves_the_batch_queued(pipe: Pipeline) -> None:
    pipe.accept(batch(canonical(1), canonical(2, trip_id=0)))
    with psycopg.connect(pipe.settings.database_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE trip_interactions RENAME TO away")
        with pytest.raises(pg.UndefinedTable):
            pipe.drain()
        owner.execute("ALTER TABLE away RENAME TO trip_interactions")
    assert pipe.value("SELECT count(*) FROM dead_letters") == pipe.value("SELECT count(*) FROM batches") == 0
    assert pipe.drain() == 2
    assert pipe.row("SELECT stored, dead FROM batches") == (1, 1)


def test_a_time_that_only_just_has_a_calendar_is_stored(pipe: Pipeline) -> None:
    last = 253_402_300_799 * MICROSECOND
    pipe.send(canonical(1, occurred_at=last), canonical(2, occurred_at=0), canonical(3, occurred_at=T0))
    assert pipe.value("SELECT count(*) FROM events") == 3


def test_very_many_bad_events_hold_the_drain_no_longer_than_a_few_do(pipe: Pipeline) -> None:
    bad = [canonical(n, utm='{"a": "\\u0000"}') for n in range(2, 3000)]
    pipe.accept(batch(canonical(0), *bad[:2990], n=1), batch(canonical(1), *bad[2990:], n=2))
    commits = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    pipe.connection.execute("SELECT pg_stat_force_next_flush()")
    before = pipe.value(commits)
    assert pipe.drain() == 3000
    pipe.connection.execute("SELECT pg_stat_force_next_flush()")
    assert pipe.value(commits) - before < 100
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert pipe.row("SELECT stored, dead FROM drained") == (2, 2998)


def test_of_a_refusal_nobody_foresaw_a_batch_is_searched_a_few_hundred_times_at_most(pipe: Pipeline) -> None:
    events = [canonical(n, metadata="{") if n % 2 else canonical(n) for n in range(1000)]
    drain = Drain(pipe.connection, pipe.redis, 0, pipe.settings)
    rehearse, rehearsals = drain._rehearse, []
    drain._rehearse = lambda staged: (rehearsals.append(1), rehearse(staged))[1]  # type: ignore[method-assign]
    pipe.accept(batch(*events, n=1))
    assert drain.run_once() == 1000
    assert len(rehearsals) < 500
    stored, dead = pipe.row("SELECT stored, dead FROM drained")
    assert (stored + dead, dead >= 500, stored > 50) == (1000, True, True)
    assert pipe.problems() == []
