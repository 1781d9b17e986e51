"""Whatever comes in any dialect's shape, posted and drained. In: bodies with the names that each dialect knows and
values that some storage would refuse. Out: no 5xx, and no event that was accepted and then refused by Postgres.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.dialects.analytics import PageData
from ingest.dialects.platform import PlatformEvent
from ingest.dialects.single import SingleEvent
from schema import stream
from tests import make
from tests.ingest.serving import Server, add_site, drain, figures, select
from tests.ingest.test_properties import VALUES

TRICKY: list[Any] = [
    *(
        "\0",
        "a\0b",
        "\\u0000",
        "\\\\u0000",
        "\ufffe",
        "😀" * 300,
        "x" * 600,
        "1" * 32,
        " " * 31 + "7",
        str(make.uid(1)),
    ),
    *("203.0.113.77", "http://a/?utm_source=%00&utm_term=%ed%a0%80", "http://[::1", "2025-12-31T23:59:60Z", "$direct"),
    *(-1, 0, 2**31, 2**63, 2**64, 10**30, 1e308, -0.0, 1e11, True, {"\0": 1}, {"a": "\0"}, ["a\0b"], [[1, [2]]]),
]
ADDRESS = "203.0.113.77"
VALUE = st.sampled_from(TRICKY) | VALUES


def shaped(text: str, **nested: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(text.split(), VALUE) | nested)


CAMPAIGN = shaped("name source medium term content")
CONTEXT = shaped(
    "ip locale sessionId userAgent traits library",
    campaign=CAMPAIGN,
    page=shaped("url path referrer search"),
    screen=shaped("width height"),
)
OURS = "trip_id source position score share_code user_code owner_code screen schema_version duration_seconds ip"
CALL = shaped(
    "event userId anonymousId messageId timestamp originalTimestamp sentAt traits groupId previousId ip",
    type=st.sampled_from(["track", "page", "screen", "identify", "group", "alias"]),
    context=CONTEXT | VALUE,
    properties=shaped(OURS + " url path referrer title") | VALUE,
)
CAPTURE = shaped(
    "event uuid distinct_id timestamp sent_at offset $set options session_id ip",
    properties=shaped(
        OURS
        + " $device_id $anon_distinct_id $current_url $pathname $referrer $raw_user_agent $device_type $screen_width"
        " $screen_height utm_source utm_term $session_id token distinct_id $time $ip $process_person_profile"
    )
    | VALUE,
)
GOOD: dict[str, dict[str, Any]] = {
    "/v1/batch": {"type": "track", "event": "e", "userId": "u"},
    "/batch/": {"event": "e", "distinct_id": "u"},
    "/api/analytics/ingest": {"session_id": "s"},
    "/ingest-event": {"event_type": "e"},
    "/rpc/emit_platform_event": {"event_type": "e"},
    "/api/events/batch": {**make.event(0), "event_id": None},
}
SHAPES = {
    "/v1/batch": CALL,
    "/batch/": CAPTURE,
    "/api/analytics/ingest": shaped(" ".join(PageData.__struct_fields__) + " ip more"),
    "/ingest-event": shaped(" ".join(SingleEvent.__struct_fields__) + " ip more"),
    "/rpc/emit_platform_event": shaped(" ".join(PlatformEvent.__struct_fields__) + " p_user_id more"),
    "/api/events/batch": shaped(" ".join(make.event(0)) + " metadata page_url user_id referrer more"),
}
ITEMS = st.sampled_from(list(GOOD)).flatmap(lambda path: st.tuples(st.just(path), SHAPES[path]))


def body(path: str, item: dict[str, Any], key: str) -> bytes:
    """A body of one event for this route."""
    item = GOOD[path] | item
    whole: dict[str, Any] = {"batch": [item], "writeKey": key, "api_key": key}
    if path == "/api/analytics/ingest":
        whole = {"events": [{"type": "click", "data": item}], "write_key": key}
    elif path == "/api/events/batch":
        whole = {"events": [item], "write_key": key}
    elif path in ("/ingest-event", "/rpc/emit_platform_event"):
        whole = {name: value for name, value in item.items() if name != "site_id"} | {"write_key": key}
    return json.dumps(whole, default=str).encode()


def test_what_any_dialect_accepts_postgres_stores(shared: Server) -> None:
    key = add_site(shared.settings, "any")
    shared.look()

    @settings(max_examples=400)
    @given(ITEMS)
    @example(("/v1/batch", {"context": {"campaign": {"name": "a\0b"}}}))
    @example(("/batch/", {"properties": {"utm_source": "a\0b"}}))
    def check(sent: tuple[str, dict[str, Any]]) -> None:
        answer = shared.post(body(*sent, key), sent[0])
        assert answer.status_code in (200, 202, 400), answer.text

    check()
    drain(shared.settings)
    letters = select(shared.settings, "SELECT sqlstate, reason, convert_from(raw, 'UTF8') FROM dead_letters")
    assert [letter for letter in letters if letter[0] or "event_type" in json.loads(letter[2])] == []
    found = figures(shared.settings, "any")
    assert found.conserved
    assert found.stored > 20


def test_no_dialect_keeps_a_whole_address(shared: Server) -> None:
    key = add_site(shared.settings, "addressed")
    shared.look()
    inside = {"ip": ADDRESS, "a": {"clientIp": ADDRESS}}
    for path in GOOD:
        for name in ("ip", "metadata", "event_data", "properties", "context"):
            item = {name: ADDRESS if name == "ip" else inside}
            answer = shared.post(body(path, item, key), path)
            assert answer.status_code in (200, 202), answer.text
    with stream.connect(shared.settings.streams_url) as redis:
        waiting = [e.payload for n in range(shared.settings.lanes) for e in stream.waiting(redis, n, "+")]
    assert ADDRESS.encode() not in b"".join(waiting)
    drain(shared.settings)
    kept = select(shared.settings, "SELECT metadata::text FROM events WHERE site_id = 'addressed'")
    assert len(kept) == 5 * len(GOOD)
    assert ADDRESS not in str(kept)
