"""Schemas in the drain: strict sites bury what does not fit, lenient ones store it and count, and only events whose
type has a schema are looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schema import schemas
from schema.errors import ConfigError
from schema.schemas import Marks
from schema.settings import Settings
from tests.make import batch, canonical, uid
from tests.workers.pipeline import Pipeline
from workers import deadletters
from workers.drain import Drain
from workers.fits import Fits

PHONE: dict[str, Any] = {
    "required": ["metadata"],
    "properties": {"metadata": {"required": ["phone"], "properties": {"phone": {"type": "string"}}}},
}
GOOD, BAD = '{"phone": "+972"}', '{"phone": 972}'
WHY = 'schema_mismatch: metadata.phone: the value is not of type "string" (contact_phone, version 1)'
WARNINGS = "SELECT site_id, event_type, lane, warnings, last_reason FROM schema_warnings ORDER BY lane"
RECEIPT = "SELECT accepted, stored, duplicate, dead, verdicts FROM batches WHERE batch_id = %s"


def add(pipe: Pipeline, schema: Any = PHONE, event_type: str = "contact_phone", **marks: Any) -> list[str]:
    return schemas.add(pipe.connection, event_type, json.dumps(schema), Marks(**marks))[1]


@pytest.fixture
def strict(pipe: Pipeline) -> str:
    pipe.connection.execute("INSERT INTO sites (site_id, name, strict) VALUES ('strict', 'Strict', true)")
    return "strict"


def call(n: int, metadata: str | None = GOOD, **fields: Any) -> Any:
    return canonical(n, event_type="contact_phone", metadata=metadata, **fields)


def test_a_strict_site_buries_what_does_not_fit_and_stores_its_neighbours(pipe: Pipeline, strict: str) -> None:
    add(pipe)
    sent = pipe.send(call(1), call(2, BAD), canonical(3), site_id=strict)
    assert pipe.rows("SELECT event_id FROM events ORDER BY 1") == [(uid(1, 1),), (uid(1, 3),)]
    assert pipe.row("SELECT event_id, reason, sqlstate, state FROM dead_letters") == (uid(1, 2), WHY, None, "dead")
    told = {"index": 1, "verdict": "dead", "reason": WHY, "event_id": str(uid(1, 2)), "event_type": "contact_phone"}
    assert pipe.row(RECEIPT, sent) == (3, 2, 0, 1, [told])
    assert pipe.rows(WARNINGS) == []
    assert pipe.problems() == []


def test_a_lenient_site_stores_what_does_not_fit_and_counts_a_warning(pipe: Pipeline) -> None:
    add(pipe)
    sent = pipe.send(call(1), call(2, BAD), call(3, None), call(2, BAD))
    *counts, verdicts = pipe.row(RECEIPT, sent)
    assert counts == [4, 3, 1, 0]
    assert [(v["index"], v["verdict"]) for v in verdicts] == [(3, "duplicate"), (1, "stored"), (2, "stored")]
    assert verdicts[1]["reason"] == WHY
    ((site_id, event_type, lane, warnings, _),) = pipe.rows(WARNINGS)
    assert (site_id, event_type, lane, warnings) == ("default", "contact_phone", 0, 2)
    pipe.send(call(2, BAD), call(4, BAD), lane=1)
    assert [row[2:4] for row in pipe.rows(WARNINGS)] == [(0, 2), (1, 1)]  # what was stored before warns no more
    assert pipe.problems() == []


def test_types_without_a_schema_pay_nothing(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    add(pipe)
    monkeypatch.setattr("workers.fits.fitting.misfit", lambda *_: pytest.fail("it was looked at"))
    pipe.send(canonical(1), canonical(2, event_type="made.up"))
    assert pipe.value("SELECT count(*) FROM events") == 2


def test_the_event_says_which_version_it_keeps_to_and_else_the_newest_holds(pipe: Pipeline, strict: str) -> None:
    add(pipe)
    stricter = add(pipe, PHONE | {"required": ["metadata", "trip_id"]})
    assert stricter == ["trip_id: is required now"]
    pipe.send(call(1), call(2, schema_version=1), call(3, trip_id=7), call(4, schema_version=3), site_id=strict)
    assert pipe.rows("SELECT event_id FROM events ORDER BY 1") == [(uid(1, 2),), (uid(1, 3),)]
    reasons = dict(pipe.rows("SELECT event_id, reason FROM dead_letters"))
    assert reasons == {
        uid(1, 1): "schema_mismatch: trip_id: it is missing, and required (contact_phone, version 2)",
        uid(1, 4): "schema_mismatch: schema_version: contact_phone has no version 3, but 1, 2",
    }


def test_a_letter_is_held_to_the_schema_again_when_it_is_replayed(pipe: Pipeline, strict: str) -> None:
    add(pipe)
    pipe.send(call(1, BAD), site_id=strict)
    (letter,) = deadletters.open_ids(pipe.connection)
    (still,) = deadletters.replay(pipe.connection, [letter], pipe.settings)
    assert (still.verdict, still.reason) == ("dead", f"patch it first: {WHY}")
    deadletters.patch(pipe.connection, letter, {"metadata": GOOD})
    (done,) = deadletters.replay(pipe.connection, [letter], pipe.settings)
    assert done.verdict == "replayed"
    assert pipe.value("SELECT metadata ->> 'phone' FROM events") == "+972"
    assert pipe.problems() == []


def test_a_replay_onto_a_site_that_became_lenient_counts_a_warning(pipe: Pipeline, strict: str) -> None:
    add(pipe)
    pipe.send(call(1, BAD), site_id=strict)
    pipe.connection.execute("UPDATE sites SET strict = false")
    (done,) = deadletters.replay(pipe.connection, deadletters.open_ids(pipe.connection), pipe.settings)
    assert done.verdict == "replayed"
    assert pipe.rows(WARNINGS) == [(strict, "contact_phone", -1, 1, WHY)]


def test_a_drain_that_runs_sees_a_new_schema_within_a_second_and_asks_no_oftener(pipe: Pipeline) -> None:
    at = [0.0]
    fits = Fits(lambda: at[0])
    fits.refresh(pipe.connection)
    add(pipe)
    at[0] = 0.9
    fits.refresh(pipe.connection)
    assert fits.types == {}
    at[0] = 1.0
    fits.refresh(pipe.connection)
    compiled = fits.types["contact_phone"]
    assert fits.misfit(call(1, BAD)) == WHY
    at[0] = 2.5
    pipe.connection.execute("UPDATE sites SET strict = true WHERE site_id = 'default'")
    try:
        fits.refresh(pipe.connection)
    finally:
        pipe.connection.execute("UPDATE sites SET strict = false WHERE site_id = 'default'")
    assert fits.strict == {"default"}
    assert fits.types["contact_phone"] is compiled  # nothing changed: not compiled anew


def test_a_schema_that_is_none_stops_no_drain(pipe: Pipeline) -> None:
    add(pipe)
    broken = '{"$ref": "http://127.0.0.1:9/"}'
    pipe.connection.execute(
        "INSERT INTO event_schemas (event_type, version, json_schema) VALUES ('page_view', 1, %s)", (broken,)
    )
    pipe.send(canonical(1), call(2, BAD))
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert len(pipe.rows(WARNINGS)) == 1


def test_one_drain_goes_on_from_schema_to_schema(pipe: Pipeline, settings: Settings) -> None:
    drain = Drain(pipe.connection, pipe.redis, 0, settings)
    add(pipe)
    for n in range(3):
        pipe.accept(batch(call(10 * n, BAD), n=n))
        drain.run_until_empty()
    assert pipe.rows(WARNINGS)[0][3] == 3


def test_what_was_refused_in_the_answer_is_in_the_receipt_and_counts_as_nothing(pipe: Pipeline) -> None:
    from schema.event import Refused

    refused = [Refused(1, "invalid_field", "position: Expected `int` >= 0", "page_view")]
    some, none = batch(canonical(1), n=1, refused=refused), batch(n=2, events=[], refused=refused)
    pipe.accept(some, none)
    pipe.drain()
    reason = "invalid_field: position: Expected `int` >= 0"
    told = [{"index": 1, "verdict": "refused", "reason": reason, "event_type": "page_view"}]
    assert pipe.row(RECEIPT, some.batch_id) == (1, 1, 0, 0, told)
    assert pipe.row(RECEIPT, none.batch_id) == (0, 0, 0, 0, told)
    assert pipe.problems() == []


@pytest.mark.parametrize(
    ("event_type", "schema", "marks", "said"),
    [
        ("contact_phone", {"type": "strin"}, {}, "this is no JSON Schema"),
        ("contact_phone", PHONE, {"personal": ["phone"]}, "events have no field 'phone'"),
        ("contact_phone", PHONE, {"personal": ["metadata.email"]}, "describes no metadata.email"),
        ("contact_phone", PHONE, {"category": "content"}, "is of the category interaction"),
        ("new.type", PHONE, {"category": "other"}, "is no category"),
        ("new.type", PHONE, {"retention": "a while"}, "is no length of time"),
        ("new.type", {"additionalProperties": False}, {}, "Close metadata instead"),
        ("new.type", {"required": ["a"], "properties": {"a": False}, "type": "object"}, {}, "no event at all"),
        ("x" * 101, PHONE, {}, "1 to 100 characters"),
        ("unregistered", PHONE, {}, "no schema of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    pipe: Pipeline, event_type: str, schema: Any, marks: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        add(pipe, schema, event_type, **marks)
    assert pipe.rows("SELECT * FROM event_schemas") == []
    assert pipe.rows("SELECT * FROM event_types WHERE event_type = 'new.type'") == []


def test_a_new_type_is_registered_with_its_marks(pipe: Pipeline) -> None:
    add(pipe, event_type="visa.asked", category="transaction", retention="7 years", personal=["metadata.phone"])
    (row,) = schemas.listed(pipe.connection)
    assert row.pop("changed")
    assert row == {
        "event_type": "visa.asked", "category": "transaction", "retention": "7 years", "newest": 1, "versions": 1,
        "personal_data": "metadata.phone", "warnings": 0,
    }  # fmt: skip
    assert pipe.value("SELECT seeded FROM event_types WHERE event_type = 'visa.asked'")
    pipe.connection.execute("DELETE FROM event_schemas")
    pipe.connection.execute("DELETE FROM event_types WHERE event_type = 'visa.asked'")
