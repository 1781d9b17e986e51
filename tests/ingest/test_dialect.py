"""What foreign dialects share: ids of any text, one bad item quarantined and not its neighbours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ingest.dialect import as_id, read_each
from ingest.rules import content_id
from schema.errors import InvalidEvent
from schema.event import Event
from tests.ingest.contexts import context
from tests.make import uid


def read(item: Any, _: int) -> Event:
    if not isinstance(item, str):
        raise InvalidEvent("invalid_field", "not a text")
    return Event(uid(1), item, 5)


def test_a_uuid_stays_and_any_other_id_is_always_the_same_uuid() -> None:
    one = context()
    assert as_id(one, "user", str(uid(3))) == uid(3)
    made = as_id(one, "user", "ajs-next-17-abc")
    assert isinstance(made, UUID) and made == as_id(one, "user", "ajs-next-17-abc")
    assert made != as_id(one, "message", "ajs-next-17-abc")
    assert as_id(one, "user", 17) == as_id(one, "user", "17")
    assert as_id(one, "user", "z" * 36) is not None
    assert as_id(one, "user", uid(3).hex.upper()) == uid(3)
    odd = [
        " " * 31 + "7",
        "{" + uid(3).hex[:-4] + "}--",
        "0x" + "0" * 30,
        uid(3).hex[:-1] + "\u0667",
        f" {uid(3)}"[:36],
    ]
    assert all((made := as_id(one, "user", text)) is not None and made.version == 5 for text in odd)
    assert as_id(one, "user", None) is as_id(one, "user", "") is None


@pytest.mark.parametrize("value", [True, 1.5, ["a"], {}, "x" * 501])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="user"):
        as_id(context(), "user", value)


def test_a_bad_item_is_quarantined_with_the_same_id_each_time_and_its_neighbours_are_read() -> None:
    parsed = read_each(["page_view", 7, "a\0b", "click"], read, context())
    assert [event.event_type for event in parsed.events] == ["page_view", "click"]
    assert [(one.code, one.sent) for one in parsed.quarantined] == [
        ("invalid_field", "7"),
        ("nul_character", '"a\\ufffdb"'),
    ]
    assert parsed.quarantined == read_each(["page_view", 7, "a\0b"], read, context()).quarantined


def test_an_event_with_a_time_has_the_id_of_its_content_and_one_without_has_a_new_one() -> None:
    one = context()
    assert content_id(one, {"a": 1}, 0, 5) == content_id(one, {"a": 1}, 0, 5) != content_id(one, {"a": 1}, 1, 5)
    assert content_id(one, {"a": 1}, 0, None) != content_id(one, {"a": 1}, 0, None)
