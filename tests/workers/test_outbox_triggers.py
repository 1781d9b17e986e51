"""The example triggers of docs/outbox-triggers.sql, on tables like those that they are written for."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from schema.settings import Settings
from tests.workers.pipeline import pipeline
from workers import outbox

EXAMPLE = Path(__file__).parents[2] / "docs/outbox-triggers.sql"


def test_the_example_triggers_emit_with_the_change_that_causes_them(servers: object, settings: Settings) -> None:
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
        outbox.run_once(pipe.connection, pipe.redis, settings)
        for lane in range(settings.lanes):
            pipe.drain(lane)
        query = "SELECT event_type, metadata ->> 'entity_id', claimed_user FROM readable_events ORDER BY occurred_at"
        *payments, (review, *_) = pipe.rows(query)
        assert payments == [("payment.completed", "2", "8"), ("payment.completed", "1", "7")]
        assert review == "review.posted"
        assert pipe.problems() == []
