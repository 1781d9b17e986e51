"""Types made of schemas: Python runs them, and TypeScript is compiled where a compiler is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing
from pathlib import Path
from typing import Any

import pytest

from schema.declarations import LANGUAGES, names

ROOT = Path(__file__).parents[2]
BOOKED = {
    "required": ["trip_id", "metadata"],
    "$defs": {"person": {"properties": {"name": {"type": "string"}, "of": {"$ref": "#/$defs/person"}}}},
    "properties": {
        "trip_id": {"type": "integer"},
        "claimed_user": {"type": ["string", "null"]},
        "auth_user_id": {"type": "string"},
        "metadata": {
            "type": "object",
            "required": ["price", "not described"],
            "additionalProperties": False,
            "properties": {
                "price": {"type": "number"},
                "class": {"enum": ["a", "b\"'", 3, None]},
                "half": {"enum": [0.5, "x"]},
                "guests": {"type": "array", "items": {"$ref": "#/$defs/person"}},
                "either": {"anyOf": [{"type": "string"}, {"type": "array"}]},
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                "anything": True,
            },
        },
    },
}  # fmt: skip
TYPES: dict[str, tuple[int, Any]] = {
    "booking_complete": (2, BOOKED),
    "booking.complete": (1, {}),
    "2nd*/ \n type": (1, {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"path": {"const": "/"}}}}}),
    "ביקור": (1, {"oneOf": [{"type": "object"}]}),
}


def test_python_types_say_what_the_schema_says() -> None:
    made: dict[str, Any] = {}
    exec(LANGUAGES["python"]().document(TYPES), made)  # noqa: S102 that it runs is what is tested
    event = made["BookingComplete"]
    assert event.__required_keys__ == {"event_type", "session_id", "anonymous_id", "trip_id", "metadata"}
    assert event.__optional_keys__ == {"event_id", "user_id"}
    metadata = typing.get_type_hints(event)["metadata"]
    assert metadata.__required_keys__ == {"price", "not described"}
    hints = typing.get_type_hints(metadata)
    assert (hints["price"], hints["class"], hints["half"]) == (float, typing.Literal["a", "b\"'", 3, None], Any)
    assert typing.get_type_hints(typing.get_args(hints["guests"])[0])["name"] is str
    assert (hints["either"], hints["counts"]) == (str | list[Any], dict[str, int])
    assert typing.get_type_hints(made["Event2ndType"])["path"] == typing.Literal["/"]


def test_typescript_types_say_what_the_schema_says() -> None:
    text = LANGUAGES["typescript"]().document(TYPES)
    for line in (
        'export type BookingComplete = {\n  "event_type": "booking_complete";\n  "event_id"?: string;',
        '  "user_id"?: string | null;',
        '    "class"?: "a" | "b\\"\'" | 3 | null;',
        '    "counts"?: Record<string, number>;',
        '    "not described": unknown;',
        '  "booking.complete": BookingComplete2;',
    ):
        assert line in text
    assert "auth_user_id" not in text


def test_typescript_compiles(tmp_path: Path) -> None:
    node, compiler = shutil.which("node"), ROOT / "tests/clients/node/node_modules/typescript/bin/tsc"
    if node is None or not compiler.exists():
        words = "no TypeScript compiler is installed: that the types compile is left out"
        assert os.environ.get("CI") != "true", words
        pytest.skip(words)
    (tmp_path / "types.ts").write_text(LANGUAGES["typescript"]().document(TYPES))
    done = subprocess.run(
        [node, compiler, "--strict", "--noEmit", "types.ts"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_no_two_types_have_the_same_name() -> None:
    made = names(["a.b", "a_b", "A b", "a.b2", "...", "Event", "EventMap", "none"])
    assert len(set(made.values())) == 8
    assert all(name.isidentifier() for name in made.values())
