"""The one error tree: a code and a status each, a default message from the docstring, and nobody raises besides it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema import errors
from schema.errors import Busy, InvalidEvent, TripstreamError

LEAVES = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, TripstreamError)]
ROOT = Path(__file__).parents[2]


def raised() -> Iterator[str]:
    for room in ("schema", "ingest", "workers", "recommender", "reports"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and isinstance(call := node.exc, ast.Call):
                    yield f"{path.relative_to(ROOT)} {ast.unparse(call.func)}"


def test_each_has_its_own_code_a_status_and_a_sentence_for_the_caller() -> None:
    assert len({leaf.code for leaf in LEAVES}) == len(LEAVES)
    for leaf in LEAVES:
        assert 400 <= leaf.status < 600
        assert leaf.code == leaf.code.lower()
        assert (leaf.__doc__ or "").strip().endswith("."), leaf


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf is not InvalidEvent])
def test_the_docstring_is_the_default_message(leaf: type[TripstreamError]) -> None:
    assert leaf().message == str(leaf()) == (leaf.__doc__ or "").strip()
    assert leaf("else").message == str(leaf("else")) == "else"


def test_a_refused_event_carries_its_own_code() -> None:
    refusal = InvalidEvent("too_old", "The time lies back.")
    assert (refusal.code, refusal.message, InvalidEvent.code) == ("too_old", "The time lies back.", "invalid_event")


def test_busy_says_when_to_come_back() -> None:
    assert Busy().retry_after_seconds == 2
    assert Busy(retry_after_seconds=9).retry_after_seconds == 9


def test_what_the_rooms_raise_is_in_the_tree_or_says_that_a_value_or_the_program_is_wrong() -> None:
    # As Python, RQ, FastAPI, msgspec and psycopg say it themselves, whose callers know these: a job, field or value is
    # refused.
    values = {"DataError", "OverflowError", "ValidationError", "ValueError"}
    known = values | {"AssertionError", "AttributeError", "PermissionError"} | {leaf.__name__ for leaf in LEAVES}
    assert [line for line in raised() if line.split()[1].rpartition(".")[2] not in known] == []
