"""What official SDKs send, as it was captured from them, and the canonical events it becomes. In: golden/*.json, made
by driving each SDK against a server that wrote down what came.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ingest.app import DIALECTS
from ingest.rules import Context, Parsed
from schema.event import as_json
from tests import make
from tests.ingest.contexts import context

GOLDEN = Path(__file__).parent / "golden"
CASES = [case for name in ("segment", "posthog") for case in json.loads((GOLDEN / f"{name}.json").read_text())]
ADDRESS = "203.0.113.9"


def parsed(path: str, body: Any, known: Context | None = None) -> Parsed:
    dialect = DIALECTS[path.split("?")[0]]
    return dialect.parse(dialect.read(json.dumps(body).encode()), known or context())


def shown(found: Parsed) -> list[dict[str, Any]]:
    """The events as people see them, with their JSON texts opened."""
    events = [json.loads(as_json(event)) for event in found.events]
    return [
        event | {name: json.loads(event[name]) for name in ("metadata", "utm") if name in event} for event in events
    ]


def one(path: str, item: dict[str, Any], known: Context | None = None) -> dict[str, Any]:
    """The one event that this item becomes."""
    found = parsed(path, {"batch": [item]}, known)
    assert not found.quarantined, found.quarantined
    (event,) = shown(found)
    return event


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Trip Saved", "messageId": str(make.uid(1)), **fields}


def capture(event: str = "trip saved", **properties: Any) -> dict[str, Any]:
    return {"event": event, "uuid": str(make.uid(1)), "distinct_id": "u-1", "properties": properties}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sdk"])
def test_what_an_sdk_sends_becomes_these_events(case: dict[str, Any]) -> None:
    found = parsed(case["path"], case["body"])
    assert shown(found) == case["events"]
    assert not found.quarantined


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sdk"])
def test_sent_again_later_it_becomes_events_with_the_same_ids(case: dict[str, Any]) -> None:
    later = json.loads(json.dumps(case["body"]))
    for where in (later, *later.get("batch", [])):
        for name in ("sentAt", "sent_at", "created_at"):
            if name in where:
                where[name] = "2026-01-01T00:00:09Z"
    ids = [event["event_id"] for event in case["events"]]
    assert [str(e.event_id) for e in parsed(case["path"], later, context(received_at=make.T0 + 9)).events] == ids


def test_a_call_without_an_id_has_that_of_its_content_whenever_it_is_sent() -> None:
    item = call(messageId=None, timestamp="2025-12-31T23:59:00Z")
    first, again = (one("/v1/batch", item | {"sentAt": f"2025-12-31T23:59:{n}Z"}) for n in (10, 20))
    assert first == again


@pytest.mark.parametrize(
    ("path", "item"),
    [
        (
            "/v1/batch",
            call(context={"ip": ADDRESS, "device": {"ip": ADDRESS}}, request_ip=ADDRESS, traits={"ip": ADDRESS}),
        ),
        ("/v1/batch", call(event=None, context={"ip": ADDRESS})),
        ("/v1/batch", call(properties={"ip": f"{ADDRESS}, 10.0.0.1", "list": [{"ip": ADDRESS}]})),
        ("/batch/", capture(**{"$ip": ADDRESS, "$set": {"$ip": ADDRESS}}) | {"ip": ADDRESS, "$set": {"ip": ADDRESS}}),
        ("/batch/", capture("", **{"$ip": ADDRESS})),
        ("/v1/batch", call(properties={"a": {"b": {"c": {"d": {"e": {"f": {"ip": ADDRESS}}}}}}})),
        ("/v1/batch", call(event=None, properties={"a": {"b": {"c": {"d": {"e": {"f": {"ip": ADDRESS}}}}}}})),
        ("/v1/batch", call(properties=dict.fromkeys(("IP", "clientIp", "remote_addr", "$initial_ip"), ADDRESS))),
        ("/batch/", capture(ips=[ADDRESS])),
    ],
)
def test_no_whole_address_of_a_visitor_is_kept_in_an_event_or_in_quarantine(path: str, item: dict[str, Any]) -> None:
    found = parsed(path, {"batch": [item]})
    assert len(found.events) + len(found.quarantined) == 1
    assert ADDRESS not in str(found)


def test_fields_of_ours_are_taken_out_of_the_properties_if_they_fit_and_stay_there_if_not() -> None:
    fits = {"trip_id": "7", "position": 2, "source": "homepage", "score": 1, "user_code": "anna", "page_type": "x"}
    event = one("/v1/batch", call(properties=fits | {"recommendation_request_id": str(make.uid(5)), "price": 3}))
    assert event["metadata"] == {"price": 3}
    assert (event["trip_id"], event["owner_code"], event["score"]) == (7, "anna", 1.0)
    unfit = {"trip_id": "seven", "position": -1, "score": "high", "source": ["a"], "share_code": 5}
    assert one("/v1/batch", call(properties=unfit))["metadata"] == unfit
    assert one("/batch/", capture(**unfit))["metadata"] == unfit


def test_a_strict_site_keeps_a_source_it_does_not_know_as_a_property_and_quarantines_a_type_it_does_not_know() -> None:
    page = {"type": "page", "messageId": "m", "properties": {"source": "tv"}}
    assert "source" not in one("/v1/batch", page, context(strict=True))
    assert one("/v1/batch", page, context(strict=True))["metadata"]["source"] == "tv"
    found = parsed("/v1/batch", {"batch": [call()]}, context(strict=True))
    assert [unfit.code for unfit in found.quarantined] == ["unknown_event_type"]


@pytest.mark.parametrize(
    ("path", "item", "code"),
    [
        ("/v1/batch", 7, "invalid_field"),
        ("/v1/batch", {}, "unknown_type"),
        ("/v1/batch", {"type": ["track"]}, "unknown_type"),
        ("/v1/batch", call(event=None), "invalid_field"),
        ("/v1/batch", call(event="x" * 101), "invalid_field"),
        ("/v1/batch", call(event="a\0b"), "nul_character"),
        ("/v1/batch", call(userId={}), "invalid_field"),
        ("/v1/batch", call(anonymousId=[1]), "invalid_field"),
        ("/v1/batch", call(timestamp="yesterday"), "invalid_time"),
        ("/v1/batch", call(timestamp="2020-01-01T00:00:00Z"), "too_old"),
        ("/v1/batch", call(properties={"a": "x" * 40_000}), "metadata_too_large"),
        ("/v1/batch", call(event="trip_dwell"), "invalid_field"),
        ("/batch/", None, "invalid_field"),
        ("/batch/", {"event": 5}, "invalid_field"),
        ("/batch/", capture() | {"timestamp": {"a": 1}}, "invalid_time"),
    ],
)
def test_what_is_no_event_is_quarantined_with_its_reason_and_its_neighbours_are_not(
    path: str, item: Any, code: str
) -> None:
    good = call() if path == "/v1/batch" else capture()
    found = parsed(path, {"batch": [good, item, good]})
    assert (len(found.events), [unfit.code for unfit in found.quarantined]) == (2, [code])


def test_times_are_the_callers_and_a_clock_that_runs_ahead_is_put_back() -> None:
    said = call(timestamp="2025-12-01T00:00:00Z", originalTimestamp="2025-12-31T23:59:59Z")
    assert one("/v1/batch", said)["occurred_at"] == make.T0 - 31 * make.DAY
    ahead = call(originalTimestamp="2026-01-01T01:59:00Z", sentAt="2026-01-01T02:00:00Z")
    assert one("/v1/batch", ahead)["occurred_at"] == make.T0 - make.MINUTE
    assert one("/v1/batch", call())["occurred_at"] == make.T0
    assert one("/e/", capture() | {"offset": 60_000})["occurred_at"] == make.T0 - make.MINUTE


def test_sessions_named_by_a_number_are_told_apart_by_their_visitor() -> None:
    sessions = [
        one("/v1/batch", call(anonymousId=f"a-{n}", context={"sessionId": given}))["session_id"]
        for n, given in ((1, 5), (1, "5"), (2, 5))
    ]
    assert sessions[0] == sessions[1] != sessions[2]
    given = str(make.uid(2))
    assert one("/v1/batch", call(context={"sessionId": given}))["session_id"] == given


def test_the_same_event_comes_in_every_envelope_of_posthog() -> None:
    item = capture(token="phc")
    read, parse = DIALECTS["/e/"].read, DIALECTS["/e/"].parse
    packed = base64.b64encode(json.dumps(item).encode())
    bodies = [json.dumps(item).encode(), json.dumps([item]).encode(), json.dumps({"batch": [item]}).encode()]
    bodies += [b"data=" + quote(base64.b64encode(gzip.compress(json.dumps(item).encode()))).encode()]
    bodies += [packed, packed.rstrip(b"="), b"data=" + quote(packed).encode(), packed.replace(b"+", b" ")]
    found = [parse(read(raw), context()) for raw in bodies]
    assert [one.events for one in found] == [found[0].events] * len(bodies)
    assert found[0].events[0].event_type == "trip saved"


def test_a_route_says_what_a_bare_call_is_unless_the_call_does() -> None:
    for path, event_type in (
        ("/v1/p", "page_view"),
        ("/api/s/screen", "page_view"),
        ("/v1/identify/", "user_identify"),
    ):
        assert parsed(path, {"messageId": "m"}).events[0].event_type == event_type
    assert parsed("/v1/p", call()).events[0].event_type == "Trip Saved"
    assert len(parsed("/v1/t", {"batch": [call(), call(messageId="n")]}).events) == 2


def test_of_two_codes_the_owners_is_taken_and_the_other_is_kept() -> None:
    event = one("/v1/batch", call(properties={"user_code": "a", "owner_code": "b"}))
    assert (event["owner_code"], event["metadata"]) == ("b", {"user_code": "a"})


def test_an_offset_tells_when_but_not_which_event_it_was() -> None:
    item = {"event": "saved", "distinct_id": "u", "offset": 0}
    first, again = (one("/e/", item, context(received_at=make.T0 + n)) for n in (0, 9))
    assert first["event_id"] != again["event_id"]
    assert again["occurred_at"] == make.T0 + 9


def test_whenever_and_with_whichever_key_posthogs_event_is_sent_its_content_has_one_id() -> None:
    item = {"event": "saved", "distinct_id": "u", "timestamp": "2025-12-31T23:59:59Z", "properties": {"a": 1}}
    sending: list[dict[str, Any]] = [{}, {"sent_at": "2026-01-01T00:00:00Z"}, {"api_key": "k", "offset": 5}]
    sending += [{"token": "k"}, {"properties": {"a": 1, "token": "k"}}]
    assert len({one("/e/", item | more)["event_id"] for more in sending}) == 1
    assert one("/e/", item)["event_id"] != one("/e/", item | {"properties": {"a": 2}})["event_id"]


def test_a_batchs_own_context_is_every_calls() -> None:
    shared = {"library": {"name": "http"}, "campaign": {"name": "may"}, "ip": ADDRESS, "device": {"ip": ADDRESS}}
    items = [call(messageId="a", context={"library": {"name": "own"}}), call(messageId="b")]
    own, other = shown(parsed("/v1/batch", {"context": shared, "batch": items}))
    cut = {"ip": "203.0.113.0/24", "device": {"ip": "203.0.113.0/24"}}
    assert own["utm"] == other["utm"] == {"utm_campaign": "may"}
    assert own["metadata"]["context"] == {"library": {"name": "own"}} | cut
    assert other["metadata"]["context"] == {"library": {"name": "http"}} | cut


@pytest.mark.parametrize("given", ["text", [1, 2], 7, False])
def test_properties_that_are_no_object_are_kept_as_they_are(given: Any) -> None:
    assert one("/batch/", capture() | {"properties": given})["metadata"] == {"properties": given}
    assert one("/v1/batch", call(properties=given))["metadata"] == {"properties": given}
