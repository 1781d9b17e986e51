"""Every named query is described, used, and prepared against the migrated schema with its parameters' own types."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

from schema.sql import consumers, load
from tests.make import uid

ROOT = Path(__file__).parents[2]
ROOMS = ("schema", "ingest", "workers", "recommender", "reports", "tripstream")
NAMED = [(consumer, name) for consumer in consumers() for name in load(consumer)]
PARAMETER = re.compile(r"%\((\w+)\)s")
CAST = re.compile(r"%\((\w+)\)s::")
HEADING = re.compile(r"-- name: (\w+)\n(.*)\n")

# What psycopg sends a parameter as follows from its value; an untyped one (null, text) takes its type from the query.
SAMPLES = {
    "lane": 0, "events": 1, "sessions": 1, "accepted": 1, "stored": 1, "duplicate": 1, "days": 400, "limit": 10,
    "event_type_id": 1, "dead_letter_id": 1, "strict": True, "visitors": b"", "raw": b"", "key_hash": b"",
    "metadata_bytes_max": 1,
    "batch_id": uid(4), "event_id": uid(1), "minute": uid(4), "hour": uid(4), "received_at": datetime.now(UTC),
    "since": datetime.now(UTC), "until": datetime.now(UTC), "starts": datetime.now(UTC), "ends": datetime.now(UTC),
}  # fmt: skip


def test_each_prepares(owner: psycopg.Connection) -> None:
    owner.autocommit = True
    tables = (("drain", "make_incoming"), ("drain", "make_stage"), ("agents", "make_changed"))
    tables += (("mover", "make_moved"), ("mover", "make_spans"), ("folding", "make_asked"))
    tables += (("daily", "make_day_events"), ("daily", "make_day_visits"))
    tables += (("erasing", "make_theirs"), ("erasing", "make_exchanged"))
    for consumer, table in tables:
        owner.execute(load(consumer)[table])
    refused = {}
    for consumer, name in NAMED:
        text = load(consumer)[name]
        values = {found: SAMPLES.get(found) for found in PARAMETER.findall(text)}
        query = PostgresQuery(Transformer(owner))
        query.convert(text, values | dict.fromkeys(CAST.findall(text)) or None)
        result = owner.pgconn.prepare(b"", query.query, query.types)
        if result.status != ExecStatus.COMMAND_OK:
            refused[f"{consumer}.{name}"] = result.error_message.decode()
    assert refused == {}


@pytest.mark.parametrize("consumer", consumers())
def test_each_says_in_one_line_what_it_guarantees(consumer: str) -> None:
    text = (ROOT / f"schema/sql/{consumer}.sql").read_text()
    assert text.startswith("-- ") and not text.startswith("-- name")
    headings = HEADING.findall(text)
    assert [name for name, _ in headings] == list(load(consumer))
    assert [name for name, line in headings if not re.fullmatch(r"-- .{10,}", line)] == []


def test_none_is_left_over() -> None:
    product = "\n".join(path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    assert [(consumer, name) for consumer, name in NAMED if f'"{name}"' not in product] == []


def test_a_name_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import schema.sql  # the module, whose folder is exchanged

    (tmp_path / "doubled.sql").write_text("-- x\n\n-- name: a\n-- y\nSELECT 1\n\n-- name: a\n-- z\nSELECT 2\n")
    monkeypatch.setattr(schema.sql, "_HERE", tmp_path)
    with pytest.raises(ValueError, match="names a query twice"):
        load("doubled")
