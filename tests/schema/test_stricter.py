"""What a new version of a schema refuses that the former one took, in words."""

from __future__ import annotations

from typing import Any

import pytest

from schema.stricter import stricter, takes_nothing


def of_metadata(**phone: Any) -> dict[str, Any]:
    return {"properties": {"metadata": {"type": "object", "properties": {"phone": phone}}}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {"required": ["trip_id"]}, ["trip_id: is required now"]),
        (of_metadata(), of_metadata(type="string"), ["metadata.phone: must be string now"]),
        (of_metadata(type="number"), of_metadata(type="integer"), ["metadata.phone: must be integer now"]),
        (of_metadata(enum=[1, 2]), of_metadata(enum=[2]), ["metadata.phone: takes fewer values now"]),
        (of_metadata(maxLength=9), of_metadata(maxLength=8), ["metadata.phone: maxLength is 8 now"]),
        (of_metadata(minLength=1), of_metadata(minLength=2), ["metadata.phone: minLength is 2 now"]),
        (of_metadata(type="string"), of_metadata(type="string", pattern="a"), ["metadata.phone: pattern is a now"]),
        (
            {"properties": {"metadata": {"properties": {"a": {}, "b": {}}}}},
            {"properties": {"metadata": {"properties": {"a": {}}, "additionalProperties": False}}},
            ["metadata.b: is not taken any more", "metadata: takes only the fields that the schema names now"],
        ),
        (
            {"properties": {"metadata": {"properties": {"a": {"items": {}}}}}},
            {"properties": {"metadata": {"properties": {"a": {"items": {"type": "string"}}}}}},
            ["metadata.a[]: must be string now"],
        ),
        ({}, {"allOf": [{"required": ["path"]}]}, None),
    ],
)
def test_what_becomes_stricter_is_named(old: Any, new: Any, said: list[str] | None) -> None:
    found = stricter(old, new)
    assert found == said if said else len(found) == 1 and "compare the two" in found[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (of_metadata(type="string"), of_metadata()),
        (of_metadata(type="integer"), of_metadata(type="number")),
        (of_metadata(enum=[1]), of_metadata(enum=[1, 2])),
        ({"required": ["a", "b"]}, {"required": ["a"]}),
        ({"type": "object", "title": "x"}, {"type": "object", "description": "y"}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": ["integer", "string", "null"]}),
    ],
)
def test_what_takes_all_that_was_taken_is_no_stricter(old: Any, new: Any) -> None:
    assert stricter(old, new) == []


def test_a_schema_that_nothing_fits_is_recognized() -> None:
    assert takes_nothing({"type": "object", "required": ["a"], "properties": {"a": False}})
    assert not takes_nothing({"type": "object"})
