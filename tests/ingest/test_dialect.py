"""What foreign dialects share: ids of any text, one bad item quarantined and not its neighbours."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

import msgspec
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
    assert [(one.at, one.code, one.sent) for one in parsed.quarantined] == [
        (1, "invalid_field", "7"),
        (2, "nul_character", '"a\\ufffdb"'),
    ]
    assert parsed.quarantined == read_each(["page_view", 7, "a\0b"], read, context()).quarantined


def test_of_what_is_quarantined_only_a_nul_is_replaced_and_no_text_that_looks_like_one() -> None:
    sent = ["\0\0", "\\\0", "\\u0000", {"a\0": "\\\\u0000"}]
    parsed = read_each(sent, lambda *_: read(None, 0), context())
    assert [json.loads(one.sent) for one in parsed.quarantined] == [
        "\ufffd\ufffd", "\\\ufffd", "\\u0000", {"a\ufffd": "\\\\u0000"},
    ]  # fmt: skip


def kept(item: Any) -> Any:
    (unfit,) = read_each([item], read, context()).quarantined
    return json.loads(unfit.sent)


def test_of_a_large_item_its_beginning_its_size_and_its_hash_are_quarantined() -> None:
    for long in ("y" * (1 << 20), "é" * (1 << 20), '\\\0"' * (1 << 18)):
        item = {"type": "track", "properties": {"a": long}}
        whole = msgspec.json.encode(item)
        found = kept(item)
        assert (found["bytes"], found["sha256"]) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert found["begins"].startswith('{"type":"track","properties":{"a":"')
        assert len(found["begins"].encode()) <= 4096
    assert kept({"a": "y" * 65_000}) == {"a": "y" * 65_000}


def test_items_that_differ_behind_what_is_kept_are_not_the_same() -> None:
    items = [{"a": "y" * 70_000 + end} for end in "ab"]
    first, second = (read_each([item], read, context()).quarantined[0].event_id for item in items)
    assert first != second


def test_no_write_key_is_quarantined() -> None:
    keys = dict.fromkeys(("writeKey", "write_key", "api_key", "token", "$token"), "ts_write_x")
    item = {"a": 1, **keys, "properties": {"b": 2, **keys}}
    assert kept(item) == {"a": 1, "properties": {"b": 2}}
    assert item["properties"]["token"] == "ts_write_x"  # what was read is left as it is


def test_an_event_with_a_time_has_the_id_of_its_content_and_one_without_has_a_new_one() -> None:
    one = context()
    assert content_id(one, {"a": 1}, 0, 5) == content_id(one, {"a": 1}, 0, 5) != content_id(one, {"a": 1}, 1, 5)
    assert content_id(one, {"a": 1}, 0, None) != content_id(one, {"a": 1}, 0, None)
