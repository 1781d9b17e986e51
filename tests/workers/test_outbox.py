"""The outbox: what a transaction emits becomes an event if it commits, once, wherever the worker that moves it dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from redis.exceptions import ConnectionError as RedisDown

from schema import stream
from schema.settings import Settings
from tests.workers.pipeline import Pipeline, pipeline
from workers import outbox

EMIT = "SELECT emit_platform_event({})"
FULL = "'booking.made', 'transaction', 'ann', 'booking', '42', '{\"price\": 9}', '{\"app\": \"shop\"}'"


class Died(BaseException):
    """As by kill -9: nobody catches it."""


def emit(pipe: Pipeline, arguments: str = FULL) -> UUID:
    return pipe.value(EMIT.format(arguments))


def move(pipe: Pipeline) -> tuple[int, int]:
    return outbox.run_once(pipe.connection, pipe.redis, pipe.settings)


def wait(pipe: Pipeline) -> None:
    """Until every lease and back-off is over."""
    pipe.connection.execute(
        "UPDATE event_outbox SET due_at = now() WHERE processing_status IN ('pending', 'processing')"
    )


def drain(pipe: Pipeline) -> None:
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)


def states(pipe: Pipeline) -> list[tuple[Any, ...]]:
    return pipe.rows("SELECT processing_status, retry_count, error_message FROM event_outbox ORDER BY created_at")


def test_what_is_emitted_becomes_an_event_with_its_id_category_and_everything_that_was_said(pipe: Pipeline) -> None:
    event_id = emit(pipe)
    assert move(pipe) == (1, 0)
    drain(pipe)
    columns = "event_id, event_type, category::text, claimed_user, metadata, occurred_at <= received_at"
    assert pipe.row(f"SELECT {columns} FROM readable_events") == (
        event_id,
        "booking.made",
        "transaction",
        "ann",
        {
            "app": "shop",
            "entity_type": "booking",
            "entity_id": "42",
            "event_data": {"price": 9},
            "event_category": "transaction",
        },
        True,
    )
    assert pipe.row("SELECT retention FROM event_types WHERE event_type = 'booking.made'")[0].days == 7 * 365
    assert states(pipe) == [("processed", 0, None)]
    assert pipe.problems() == []


def test_a_name_in_the_metadata_that_is_also_an_argument_keeps_both(pipe: Pipeline) -> None:
    emit(pipe, "'x', p_entity_id => '1', p_metadata => '{\"entity_id\": \"2\"}'")
    move(pipe)
    drain(pipe)
    assert pipe.value("SELECT metadata FROM events") == {"entity_id": "2", "event.entity_id": "1"}


def die_before(patch: pytest.MonkeyPatch, where: str) -> None:
    owner, name = {"append": (stream, "append"), "mark": (outbox, "_mark")}[where]

    def dies(*_: Any) -> None:
        raise Died

    patch.setattr(owner, name, dies)


def die_after(patch: pytest.MonkeyPatch, where: str) -> None:
    owner, name = {"append": (stream, "append"), "mark": (outbox, "_mark")}[where]
    inner: Callable[..., Any] = getattr(owner, name)

    def dies(*arguments: Any) -> None:
        inner(*arguments)
        raise Died

    patch.setattr(owner, name, dies)


@pytest.mark.parametrize("drained_meanwhile", [True, False])
@pytest.mark.parametrize(("die", "where"), [(die_before, "append"), (die_after, "append"), (die_before, "mark"),
                                            (die_after, "mark")])  # fmt: skip
def test_a_worker_that_dies_anywhere_loses_nothing_and_doubles_nothing(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, die: Any, where: str, drained_meanwhile: bool
) -> None:
    emitted = {emit(pipe, "'x', 'content'"), emit(pipe), emit(pipe, "'y', p_user_id => 'bob'")}
    for _ in range(4):  # more often than a row may fail
        with monkeypatch.context() as patch, pytest.raises(Died):
            die(patch, where)
            with pipeline(pipe.settings) as dying:
                move(dying)
                raise Died  # there was nothing left to move
        assert move(pipe) == (0, 0)  # the lease runs
        if drained_meanwhile:
            drain(pipe)
        wait(pipe)
    move(pipe)
    drain(pipe)
    assert {event_id for (event_id,) in pipe.rows("SELECT event_id FROM events")} == emitted
    assert pipe.value("SELECT count(*) FROM events") == 3
    assert pipe.problems() == []
    assert states(pipe) == [("processed", 0, None)] * 3


def test_an_outage_of_redis_costs_no_row_a_try(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise RedisDown

    emit(pipe)
    for _ in range(5):
        with monkeypatch.context() as patch, pytest.raises(RedisDown):
            patch.setattr(stream, "append", down)
            move(pipe)
        wait(pipe)
    assert move(pipe) == (1, 0)
    assert states(pipe) == [("processed", 0, None)]


def test_rows_wait_while_redis_is_nearly_full(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    emit(pipe)
    with monkeypatch.context() as patch:
        patch.setattr(stream, "memory_share", lambda _: 0.66)
        assert move(pipe) == (0, 0)
    assert states(pipe) == [("pending", 0, None)]
    assert move(pipe) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("'x', p_site_id => 'nowhere'", "unknown_site: There is no site 'nowhere'."),
        ("'unheard.of', p_site_id => 'strict'", "unknown_event_type: This site takes registered event types only"),
        ("'x', p_event_category => repeat('odd', 999)", "invalid_field: event_category: Invalid enum value 'oddodd"),
        ("'x', p_event_data => to_jsonb(repeat('x', 40000))", "metadata_too_large: Metadata may have 32768 bytes"),
        ("'x', p_event_data => to_jsonb(repeat('x', 2000000))", "metadata_too_large: Metadata may have 32768 bytes"),
        ("repeat('x', 2000000), p_site_id => repeat('x', 2000000)", "metadata_too_large: Metadata may have 32768"),
        (
            "'x', p_event_data => (repeat('[', 3000) || repeat(']', 3000))::jsonb",
            "metadata_too_deep: Metadata may nest 16",
        ),
        ("'trip_dwell'", "invalid_field: trip_dwell needs metadata.duration_seconds"),
    ],
)
def test_a_bad_row_is_tried_three_times_then_kept_as_failed_and_blocks_nobody(
    pipe: Pipeline, arguments: str, reason: str
) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name, strict) VALUES ('strict', '', true)")
    emit(pipe, arguments)
    for attempt in range(1, 4):
        emit(pipe)
        assert move(pipe) == (1, 1)
        status, retries, why = states(pipe)[0]
        assert (status, retries) == ("failed" if attempt == 3 else "pending", attempt)
        assert why.startswith(reason)
        assert move(pipe) == (0, 0)  # it waits for its time
        wait(pipe)
    assert move(pipe) == (0, 0)
    drain(pipe)
    assert pipe.value("SELECT count(*) FROM events") == 3
    assert pipe.problems() == []


@pytest.mark.parametrize(("at", "moved"), [("now() - interval '401 days'", 0), ("'-infinity'", 0), ("'infinity'", 0),
                                           ("'4714-11-24 BC'", 0), ("'294276-12-31'", 1)])  # fmt: skip
def test_what_has_no_time_in_the_accept_window_is_bad_and_what_is_of_the_future_is_of_now(
    pipe: Pipeline, at: str, moved: int
) -> None:
    emit(pipe)
    pipe.connection.execute(f"UPDATE event_outbox SET created_at = {at}")
    emit(pipe)
    assert move(pipe) == (1 + moved, 1 - moved)
    drain(pipe)
    assert pipe.value("SELECT count(*) FROM events WHERE occurred_at <= received_at") == 1 + moved


def test_a_large_row_never_comes_to_the_worker(pipe: Pipeline) -> None:
    """20 rows of 20 MB made it 782 MB larger; one that jsonb could not hold as one value stopped all."""
    large = "'x', p_event_data => to_jsonb(repeat('x', {0})), p_metadata => jsonb_build_object('y', repeat('y', {0}))"
    emitted = [emit(pipe, large.format(size)) for size in (200_000, 5_000_000)]
    assert outbox._read(pipe.connection, emitted, pipe.settings)[0] == []
    assert pipe.value(
        "SELECT bool_and(pg_column_size(event_data) > 200000) FROM event_outbox"
    )  # seen without unpacking


def test_a_row_that_postgres_cannot_even_read_fails_alone(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    query = outbox._SQL["read"].replace("isfinite(", "1 / (o.event_type <> 'culprit')::int = 1 AND isfinite(")
    monkeypatch.setattr(outbox, "_SQL", {**outbox._SQL, "read": query})
    emit(pipe, "'culprit'")
    for attempt in (1, 2, 3):
        others = [emit(pipe) for _ in range(7)]
        assert move(pipe) == (len(others), 1)
        assert pipe.row("SELECT retry_count, error_message FROM event_outbox WHERE event_type = 'culprit'") == (
            attempt,
            "division by zero",
        )
        wait(pipe)
    assert move(pipe) == (0, 0)
    drain(pipe)
    assert pipe.value("SELECT count(*) FROM events") == 21


def test_numbers_stay_as_exact_as_they_were_emitted(pipe: Pipeline) -> None:
    said = '{"price": 12345678901234567.10, "n": 123456789012345678901, "small": 0.0000000011}'
    emit(pipe, f"'x', p_metadata => '{said}'")
    move(pipe)
    drain(pipe)
    assert pipe.value("SELECT (metadata = %s)::text || (metadata ->> 'price') FROM events", said) == (
        "true12345678901234567.10"
    )


def _be_killed_before_mark(settings: Settings) -> None:
    def killed(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    outbox._mark = killed
    with pipeline(settings) as pipe:
        move(pipe)


def test_a_worker_that_is_killed_between_append_and_mark_costs_nothing(pipe: Pipeline) -> None:
    emitted = emit(pipe)
    process = multiprocessing.get_context("spawn").Process(target=_be_killed_before_mark, args=(pipe.settings,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert states(pipe) == [("processing", 0, None)]
    drain(pipe)
    assert pipe.rows("SELECT event_id FROM events") == [(emitted,)]
    wait(pipe)
    assert move(pipe) == (1, 0)
    drain(pipe)
    assert pipe.rows("SELECT event_id FROM events") == [(emitted,)]
    assert states(pipe) == [("processed", 0, None)]
    assert pipe.problems() == []


def test_no_count_of_tries_can_stop_the_marks_of_others(pipe: Pipeline) -> None:
    emit(pipe, "''")
    pipe.connection.execute("UPDATE event_outbox SET retry_count = 2147483647")
    emit(pipe)
    assert move(pipe) == (1, 1)
    assert states(pipe)[0][:2] == ("failed", 3)


def test_the_chore_moves_all_that_is_due_and_forgets_what_was_done_a_week_ago(pipe: Pipeline) -> None:
    done = emit(pipe)
    move(pipe)
    pipe.connection.execute("UPDATE event_outbox SET due_at = now() - interval '8 days'")
    pipe.rows("SELECT emit_platform_event('x') FROM generate_series(1, 250)")
    outbox.move(pipe.settings)
    drain(pipe)
    assert pipe.value("SELECT count(*) FROM events") == 251
    assert pipe.rows("SELECT count(*), bool_or(event_id = %s) FROM event_outbox", done) == [(250, False)]
    assert pipe.value("SELECT count(*) FROM batches") == 4


def test_of_two_that_say_what_a_new_type_is_one_is_believed_and_nobody_else(pipe: Pipeline) -> None:
    for arguments in ("'a', 'content'", "'a', 'transaction'", "'b'", "'page_view', 'content'", "'c', 'user_activity'"):
        emit(pipe, arguments)
    move(pipe)
    drain(pipe)
    found = dict(pipe.rows("SELECT event_type, category::text FROM event_types WHERE NOT seeded"))
    assert found.pop("a") in ("content", "transaction")
    assert found == {"b": "interaction", "c": "user_activity"}
    assert pipe.value("SELECT category::text FROM event_types WHERE event_type = 'page_view'") == "interaction"
    assert pipe.problems() == []


def test_addresses_in_what_was_emitted_are_cut_before_it_is_queued(pipe: Pipeline) -> None:
    data = '\'{"ip_address": "203.0.113.77", "price": 1.10}\', \'{"a": {"IP": "203.0.113.77"}}\''
    emit(pipe, f"'booking.made', 'transaction', 'ann', 'booking', '42', {data}")
    assert move(pipe) == (1, 0)
    waiting = [e.payload for lane in range(pipe.settings.lanes) for e in stream.waiting(pipe.redis, lane, "+")]
    assert [(b"203.0.113.77" in one, b"203.0.113.0/24" in one) for one in waiting] == [(False, True)]
