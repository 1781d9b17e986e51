"""What a schema sees of an event, what it says of one that does not fit, and what it may not reach."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest

from schema import fitting
from schema.errors import ConfigError
from tests.make import canonical

PHONE = {
    "type": "object",
    "required": ["trip_id", "metadata"],
    "properties": {
        "trip_id": {"type": "integer"},
        "metadata": {
            "required": ["phone"],
            "properties": {"phone": {"type": "string", "pattern": r"^\+\d+$"}, "on": {"format": "date"}},
        },
    },
}


def why(schema: Any, **fields: Any) -> str | None:
    return fitting.misfit(fitting.compiled(json.dumps(schema)), canonical(1, **fields))


def test_a_schema_sees_the_fields_that_an_event_has_and_its_metadata() -> None:
    seen = fitting.as_object(canonical(1, trip_id=7, metadata='{"a": [1]}', utm='{"utm_source": "x"}'))
    assert seen == {
        "event_id": "00000001-0000-4000-8000-000000000001",
        "event_type": "page_view",
        "occurred_at": "2026-01-01T00:00:01Z",
        "session_id": "00000002-0000-4000-8000-000000000000",
        "anonymous_id": "00000003-0000-4000-8000-000000000000",
        "trip_id": 7,
        "metadata": {"a": [1]},
        "utm": {"utm_source": "x"},
    }


def test_what_fits_fits() -> None:
    assert why(PHONE, trip_id=1, metadata='{"phone": "+972", "on": "2026-01-31"}') is None
    assert why({}) is None
    assert why({"properties": {"occurred_at": {"format": "date-time"}, "event_id": {"format": "uuid"}}}) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"trip_id": 1}, "metadata: it is missing, and required"),
        ({"trip_id": 1, "metadata": "{}"}, "metadata.phone: it is missing, and required"),
        ({"trip_id": 1, "metadata": '{"phone": 5}'}, 'metadata.phone: the value is not of type "string"'),
        ({"trip_id": 1, "metadata": '{"phone": "secret"}'}, r'metadata.phone: the value does not match "^\+\d+$"'),
        ({"trip_id": 1, "metadata": '{"phone": "+1", "on": "x"}'}, 'metadata.on: the value is not a "date"'),
        ({"metadata": "{}"}, "metadata.phone: it is missing, and required; trip_id: it is missing, and required"),
    ],
)
def test_what_does_not_fit_is_named_with_its_field_and_without_its_value(fields: Any, said: str) -> None:
    assert why(PHONE, **fields) == said


def test_of_many_things_that_are_wrong_three_are_told() -> None:
    said = why({"required": ["a", "b", "c", "d", "e"]}) or ""
    assert said.count("required") == 3
    assert said.endswith("; and 2 more")


@pytest.mark.parametrize("metadata", ["{", '{"n": 1e999}', "[" * 5000 + "]" * 5000, '{"a": "\ud800"}'])
def test_what_cannot_be_read_fits_no_schema_as_postgres_might_take_it(metadata: str) -> None:
    said = why({}, metadata=metadata)
    assert said is not None and said.startswith("event: it cannot be read as JSON: ")


def test_metadata_that_is_null_breaks_nothing() -> None:
    assert why({}, metadata="null") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the schema is not valid JSON"),
        ("[]", "a schema is a JSON object"),
        ("true", "a schema is a JSON object"),
        ('{"type": "strin"}', "this is no JSON Schema: type: "),
        ('{"properties": {"trip_id": {"minimum": "1"}}}', "properties.trip_id.minimum: "),
        ('{"pattern": "(?=a)"}', "this is no JSON Schema: pattern: "),
        ('{"$ref": "#/$defs/nothing"}', "this is no JSON Schema: "),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r".") as refused:
        fitting.compiled(text)
    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_nothing_is_ever_fetched_for_a_schema() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        asked = []
        thread = threading.Thread(target=lambda: asked.append(_accepted(server)))
        thread.start()
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        for schema in (
            {"$ref": f"{base}/a"},
            {"$id": f"{base}/x", "$ref": "b"},
            {"$schema": f"{base}/meta"},
            {"properties": {"metadata": {"allOf": [{"$ref": f"{base}/c#/d"}]}}},
            {"$dynamicRef": f"{base}/e"},
            {"$ref": "file:///etc/hostname"},
        ):
            with pytest.raises(ConfigError):
                fitting.compiled(json.dumps(schema))
        thread.join()
    assert asked == [False]


def _accepted(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"$defs": {"t": {"properties": {"sub": {"$ref": "#/$defs/t"}, "n": {"type": "integer"}}}}}
    schema = tree | {"properties": {"metadata": {"$ref": "#/$defs/t"}}}
    assert why(schema, metadata='{"sub": {"sub": {"n": 1}}}') is None
    assert why(schema, metadata='{"sub": {"sub": {"n": "1"}}}') == (
        'metadata.sub.sub.n: the value is not of type "integer"'
    )
    assert why({"$ref": "#"}) is None


def test_no_pattern_takes_long_whatever_an_event_holds() -> None:
    schema = {"properties": {"path": {"pattern": "^(a+)+$"}}}
    began = time.perf_counter()
    assert why(schema, path="a" * 4000 + "!") is not None
    assert time.perf_counter() - began < 1
