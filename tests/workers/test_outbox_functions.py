"""The outbox's functions in SQL: what they take, who may call them, and the triggers of docs/outbox-triggers.sql."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from schema import db
from schema.settings import Settings
from tests.workers.pipeline import Pipeline, pipeline
from tests.workers.test_outbox import EMIT, drain, emit, move, states, wait

EXAMPLE = Path(__file__).parents[2] / "docs/outbox-triggers.sql"


def test_a_transaction_that_is_rolled_back_emits_nothing(pipe: Pipeline) -> None:
    with pytest.raises(ZeroDivisionError), pipe.connection.transaction():
        emit(pipe)
        raise ZeroDivisionError
    assert move(pipe) == (0, 0)
    assert states(pipe) == []


# Its cast says as whom it runs.
OWN_TYPE = """
CREATE TYPE pg_temp.own AS (n int);
CREATE FUNCTION pg_temp.make() RETURNS pg_temp.own LANGUAGE sql AS 'SELECT ROW(1)::pg_temp.own';
CREATE FUNCTION pg_temp.told(pg_temp.own) RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
CREATE CAST (pg_temp.own AS text) WITH FUNCTION pg_temp.told(pg_temp.own);
"""
ONE = "00000000-0000-4000-8000-000000000001"
IDS = {"text": "'ann'::text", "literal": "'ann'", "null": "NULL", "varchar": "'ann'::varchar", "uuid": f"'{ONE}'::uuid"}
KEPT = {"null": None, "uuid": ONE, "bigint": "7"}


@pytest.mark.parametrize("user", IDS)
def test_it_can_be_called_with_ids_of_any_type_by_place_by_name_and_both(pipe: Pipeline, user: str) -> None:
    for entity, what in (IDS | {"bigint": "7::bigint"}).items():
        for arguments, has_entity in calls(IDS[user], what):
            query = "SELECT event_type, user_id, entity_id FROM event_outbox WHERE event_id = %s"
            expected = ("x", KEPT.get(user, "ann"), KEPT.get(entity, "ann") if has_entity else None)
            assert pipe.row(query, emit(pipe, arguments)) == expected, arguments


def calls(who: str, what: str) -> list[tuple[str, bool]]:
    """Ways to say who, and whether what is said with it."""
    category, more = "p_event_category => 'content'", "p_event_data => '1', p_metadata => '{}', p_site_id => 'default'"
    return [
        (f"'x', 'content', {who}", False),
        (f"'x', 'content', {who}, 'booking'", False),
        (f"'x', 'content', {who}, 'booking', {what}", True),
        (f"'x', NULL, {who}, NULL, {what}, '1', '{{}}', 'default'", True),
        (f"'x', 'content', {who}, p_site_id => 'default'", False),
        (f"'x', 'content', {who}, p_entity_id => {what}, {more}", True),
        (f"'x', 'content', p_user_id => {who}", False),
        (f"'x', 'content', p_entity_id => {what}, p_entity_type => 'booking', p_user_id => {who}", True),
        (f"'x', p_user_id => {who}", False),
        (f"'x', p_user_id => {who}, {category}", False),
        (f"'x', p_entity_id => {what}, p_user_id => {who}, {more}", True),
        (f"p_event_type => 'x', p_user_id => {who}", False),
        (f"p_user_id => {who}, {category}, p_event_type => 'x', p_entity_id => {what}, {more}", True),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        "'x'",
        "'x', 'content'",
        "p_event_type => 'x'",
        f"'x', p_entity_id => '{ONE}'::uuid",
        "'x', p_site_id => 'default'",
    ],
)
def test_a_type_is_enough(pipe: Pipeline, arguments: str) -> None:
    emit(pipe, arguments)
    assert move(pipe) == (1, 0)


@pytest.mark.parametrize("arguments", ["NULL", "'x', p_metadata => '[1]'"])
def test_what_could_never_be_an_event_is_refused_where_it_is_emitted(pipe: Pipeline, arguments: str) -> None:
    with pytest.raises(psycopg.IntegrityError):
        emit(pipe, arguments)


def test_tries_are_ten_and_twenty_seconds_apart(pipe: Pipeline) -> None:
    event_id = emit(pipe)
    for seconds in (10, 20):
        before = pipe.value("SELECT clock_timestamp()")
        assert pipe.value("SELECT mark_event_processed(%s, 'failed', 'no')", event_id)
        due_at, after = pipe.row("SELECT due_at, clock_timestamp() FROM event_outbox")
        assert before <= due_at - timedelta(seconds=seconds) <= after
    assert pipe.value("SELECT mark_event_processed(%s, 'failed')", event_id)
    assert states(pipe) == [("failed", 3, "no reason given")]


def test_what_is_done_stays_done_and_a_word_that_is_none_is_refused(pipe: Pipeline) -> None:
    event_id = emit(pipe)
    assert pipe.value("SELECT mark_event_processed(%s, 'completed', NULL)", event_id)
    assert not pipe.value("SELECT mark_event_processed(%s, 'failed', 'late')", event_id)
    assert states(pipe) == [("completed", 0, None)]
    for word in ("pending", "done", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            pipe.value("SELECT mark_event_processed(%s, %s)", event_id, word)


def test_two_callers_never_get_the_same_and_a_lapsed_lease_is_given_again(pipe: Pipeline) -> None:
    emitted = {emit(pipe) for _ in range(5)}
    take = "SELECT event_id FROM get_pending_events(%s)"
    with pipeline(pipe.settings) as other, other.connection.transaction():
        first = {row for (row,) in other.rows(take, 3)}
        second = {row for (row,) in pipe.rows(take, 100)}  # it does not wait for the other's transaction
    assert (len(first), len(second)) == (3, 2)
    assert first | second == emitted
    assert pipe.rows(take, 100) == []
    wait(pipe)
    assert {row for (row,) in pipe.rows("SELECT event_id FROM get_pending_events()")} == emitted


@pytest.fixture
def owner(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        yield connection


def test_an_application_may_emit_with_few_rights_and_touch_nothing_else(
    pipe: Pipeline, owner: psycopg.Connection
) -> None:
    owner.execute("CREATE ROLE outbox_app")
    try:
        (granted,) = re.findall(r"^--     (GRANT .*?) TO your_application;$", EXAMPLE.read_text(), re.M | re.S)
        owner.execute(granted.replace("--", "") + " TO outbox_app")
        owner.execute("SET ROLE outbox_app")
        owner.execute("CREATE TEMP TABLE event_outbox (trap text)")  # comes after the real one in the search path
        owner.execute(EMIT.format("'x'"))
        owner.execute(OWN_TYPE)
        found = owner.execute("SELECT emit_platform_event('x', p_entity_id => pg_temp.make())").fetchall()
        for statement in (
            "SELECT * FROM public.event_outbox",
            "SELECT get_pending_events(1)",
            "SELECT mark_event_processed(gen_random_uuid())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(statement)
        owner.execute("RESET ROLE")
    finally:
        owner.execute("RESET ROLE; DROP OWNED BY outbox_app CASCADE; DROP ROLE outbox_app")
    assert pipe.value("SELECT entity_id FROM event_outbox WHERE event_id = %s", found[0][0]) == "outbox_app"
    assert move(pipe) == (2, 0)


def test_the_monitor_sees_how_much_waits_and_nothing_of_what_it_is(settings: Settings) -> None:
    with db.connect(settings, "tripstream_monitor") as reader:
        reader.execute("SELECT processing_status, created_at FROM event_outbox")
        for statement in (
            "SELECT event_data FROM event_outbox",
            "SELECT user_id FROM event_outbox",
            EMIT.format("'x'"),
            "SELECT get_pending_events(1)",
            "SELECT mark_event_processed(gen_random_uuid())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_the_example_triggers_emit_with_the_change_that_causes_them(settings: Settings) -> None:
    example = EXAMPLE.read_text()
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        for table in re.findall(r"^--    (CREATE TABLE .*;)$", example, re.MULTILINE):
            owner.execute(table)
        try:
            for _ in range(2):  # it can be run again
                owner.execute(example)
            owner.execute("INSERT INTO bookings VALUES (1, 7, 'new', 12.50), (2, 8, 'paid', 99)")
            owner.execute("UPDATE bookings SET status = 'paid'")
            owner.execute("BEGIN; UPDATE bookings SET status = 'new'; UPDATE bookings SET status = 'paid'; ROLLBACK")
            owner.execute("INSERT INTO reviews VALUES (gen_random_uuid(), gen_random_uuid(), 5)")
        finally:
            owner.execute("DROP TABLE bookings, reviews")
            owner.execute("DROP FUNCTION emit_payment_completed, emit_review_posted")
    with pipeline(settings) as pipe:
        move(pipe)
        drain(pipe)
        query = "SELECT event_type, metadata ->> 'entity_id', claimed_user FROM readable_events ORDER BY occurred_at"
        *payments, (review, *_) = pipe.rows(query)
        assert payments == [("payment.completed", "2", "8"), ("payment.completed", "1", "7")]
        assert review == "review.posted"
        assert pipe.problems() == []
