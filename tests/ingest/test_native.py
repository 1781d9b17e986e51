"""The native dialect. In: decoded bodies and an explicit clock. Out: canonical events, or refusals that say why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from ingest.dialects import native
from ingest.dialects.native import NativeEvent
from ingest.rules import Context, Parsed
from schema.errors import InvalidBody, TooLarge
from schema.event import EVENT_FIELDS, NAMESPACE, Event
from tests import make
from tests.ingest.contexts import context


def parse(*items: Any, sent_at: Any = None, known: Context | None = None) -> Parsed:
    return native.parse(list(items), sent_at, known or context(), may_hold_nul=False)


def only(item: Any, **more: Any) -> Event:
    parsed = parse(item, **more)
    assert parsed.rejected == []
    return parsed.events[0]


def refusal(item: Any, **more: Any) -> tuple[str, str, str]:
    """Code, message and counted type of the one refusal."""
    parsed = parse(item, **more)
    assert parsed.events == []
    [found] = parsed.rejected
    return found.code, found.message, found.event_type


def iso(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / make.SECOND, UTC).isoformat()


WIRE = make.event(
    client_timestamp=iso(make.T0 - make.HOUR),
    trip_id=2**63 - 1,
    recommendation_request_id=str(make.uid(5)),
    source="homepage",
    position=2**31 - 1,
    score=-0.25,
    page_url="https://shop.example/trips/7?utm_source=mail&utm_medium=news&x=1&utm_campaign=&utm_id=9",
    referrer="https://search.example/?q=a",
    device_type="mobile",
    user_agent="Mozilla/5.0",
    screen="390x844",
    user_id="u-1",
    owner_code="own",
    share_code="sh",
    contact_id="c-9",
    click_target="book",
    click_category="cta",
    page_type="trip",
    metadata={"a": {"b": [1, "x", None]}},
    schema_version=3,
)


def test_every_field_of_the_wire_format_arrives_in_the_event() -> None:
    taken = {"user_id": "claimed_user", "client_timestamp": "occurred_at", "user_code": "owner_code"}
    assert {taken.get(name, name) for name in NativeEvent.__struct_fields__} <= set(EVENT_FIELDS)
    same = ("trip_id", "source", "position", "score", "page_url", "referrer", "device_type", "user_agent", "screen")
    same += ("owner_code", "share_code", "contact_id", "click_target", "click_category", "page_type", "schema_version")
    assert only(WIRE) == make.canonical(
        occurred_at=make.T0 - make.HOUR,
        recommendation_request_id=make.uid(5),
        claimed_user="u-1",
        path="/trips/7",
        utm='{"utm_source":"mail","utm_medium":"news"}',
        metadata='{"a":{"b":[1,"x",null]}}',
        **{name: WIRE[name] for name in same},
    )


def test_null_means_the_same_as_nothing() -> None:
    nothing = dict.fromkeys(set(NativeEvent.__struct_fields__) - {"event_type", "session_id", "anonymous_id"})
    assert only(make.event() | nothing | {"event_id": str(make.uid(1))}) == only(make.event())


def test_user_code_is_another_name_for_owner_code_which_wins() -> None:
    assert only(make.event(user_code="b")).owner_code == "b"
    both = only(make.event(user_code="b", owner_code="a", metadata={"c": 1}))
    assert (both.owner_code, both.metadata) == ("a", '{"c":1,"user_code":"b"}')
    assert only(make.event(user_code="a", owner_code="a")).metadata is None


def test_a_user_in_the_body_is_a_claim_and_nothing_in_the_body_is_more() -> None:
    trusted = {"auth_user_id": "admin", "is_bot": True, "country": "XX", "ip_prefix": "1.2.3.0/24", "site_id": "other"}
    event = only(make.event(user_id="me", **trusted))
    assert (event.claimed_user, event.auth_user_id) == ("me", None)
    assert json.loads(event.metadata or "") == trusted


def test_unknown_fields_join_the_metadata_and_give_way_to_its_names() -> None:
    event = only(make.event(colour="red", deep={"x": [1]}, size=1, metadata={"size": 2}))
    assert json.loads(event.metadata or "") == {"size": 2, "colour": "red", "deep": {"x": [1]}, "event.size": 1}


@pytest.mark.parametrize("id_", [str(make.uid(9)).upper(), make.uid(9).hex, str(make.uid(9))])
def test_a_uuid_may_be_written_in_any_of_its_ways(id_: str) -> None:
    assert only(make.event(event_id=id_)).event_id == make.uid(9)


TIMED = make.event(event_id=..., client_timestamp=iso(make.T0 - make.MINUTE))


def test_a_blind_resend_is_the_same_event_whenever_and_however_it_is_sent() -> None:
    later = context(received_at=make.T0 + make.DAY)
    ids = {only(TIMED).event_id, only(TIMED, known=later).event_id, only(TIMED, sent_at=iso(make.T0)).event_id}
    bare = native.items(TIMED | {"sent_at": iso(make.T0), "write_key": "k", "site_id": "default"}, single=True)
    ids.add(only(bare[0]).event_id)
    assert len(ids) == 1
    assert ids.pop().version == 5


def test_another_content_place_or_site_is_another_event() -> None:
    variants = [only(TIMED), only(TIMED | {"position": 1}), only(TIMED | {"extra": 1})]
    variants += [only(TIMED | {"client_timestamp": iso(make.T0)}), only(TIMED, known=context(site_id="other"))]
    variants += parse(TIMED, TIMED).events[1:]
    assert len({event.event_id for event in variants}) == 6


def test_without_a_time_of_the_client_an_id_is_random() -> None:
    events = [only(make.event(event_id=...)) for _ in range(3)]
    assert len({event.event_id for event in events}) == 3
    assert {event.event_id.version for event in events} == {7}


def test_without_a_time_of_the_client_an_event_happened_when_it_was_received() -> None:
    assert only(make.event()).occurred_at == make.T0


def test_a_clock_that_runs_ahead_is_corrected_for_the_whole_batch() -> None:
    times = [make.T0 + make.HOUR - make.MINUTE, make.T0 + make.HOUR]
    parsed = parse(*(make.event(n, client_timestamp=iso(at)) for n, at in enumerate(times)), sent_at=iso(times[1]))
    assert [event.occurred_at for event in parsed.events] == [make.T0 - make.MINUTE, make.T0]


@pytest.mark.parametrize("ahead", [0, 1, 299, 300, -3600, -86_400 * 1000])
def test_a_clock_that_is_close_enough_or_behind_is_believed(ahead: int) -> None:
    at = make.T0 - make.HOUR
    event = only(make.event(client_timestamp=iso(at)), sent_at=iso(make.T0 + ahead * make.SECOND))
    assert event.occurred_at == at


@pytest.mark.parametrize("sent_at", ["yesterday", "", True, [], {}, {"x": 1}, 1e308, "9999-99-99"])
def test_a_sent_at_that_is_no_time_is_as_good_as_none(sent_at: Any) -> None:
    assert only(make.event(client_timestamp=iso(make.T0 - 1000)), sent_at=sent_at).occurred_at == make.T0 - 1000


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (make.T0 - 400 * make.DAY, make.T0 - 400 * make.DAY),
        (make.T0 - 400 * make.DAY - 1000, "too_old"),
        (make.T0 + 1000, make.T0),
        (make.T0 + 366 * make.DAY, make.T0),
        (make.T0 + 366 * make.DAY + 1000, "invalid_time"),
    ],
)
def test_a_time_is_kept_within_the_window_and_clamped_to_its_receipt(at: int, outcome: int | str) -> None:
    item = make.event(client_timestamp=at / 1000)
    assert (refusal(item)[0] if isinstance(outcome, str) else only(item).occurred_at) == outcome


def test_the_window_is_a_setting_and_the_refusal_says_how_long_it_is() -> None:
    old = make.event(client_timestamp=iso(make.T0 - 3 * make.DAY))
    assert refusal(old, known=context(accept_window_days=2))[:2] == (
        "too_old",
        "The time lies more than 2 days back.",
    )


def test_a_strict_site_takes_registered_types_and_sources_only() -> None:
    strict = context(strict=True)
    assert only(make.event(source="homepage"), known=strict).source == "homepage"
    assert refusal(make.event(event_type="made.up"), known=strict) == (
        "unknown_event_type",
        "This site takes registered event types only, not 'made.up'.",
        "unknown",
    )
    code, message, counted = refusal(make.event(source="tv"), known=strict)
    assert (code, counted) == ("unknown_source", "page_view")
    assert "'tv'" in message
    assert only(make.event(event_type="made.up", source="tv")).event_type == "made.up"


@pytest.mark.parametrize("name", ["event_type", "source", "device_type", "screen"])
def test_a_code_has_1_to_100_characters(name: str) -> None:
    assert getattr(only(make.event(**{name: "é" * 100})), name) == "é" * 100
    assert refusal(make.event(**{name: "é" * 101}))[0] == "invalid_field"
    assert refusal(make.event(**{name: ""}))[0] == "invalid_field"


@pytest.mark.parametrize("size", [32_768, 32_769])
def test_metadata_has_a_size_limit_to_the_byte(size: int) -> None:
    item = make.event(metadata={"k": "x" * (size - len('{"k":""}'))})
    assert (parse(item).rejected == []) == (size == 32_768)


def test_metadata_has_a_depth_limit_which_unknown_fields_share() -> None:
    def nested(depth: int) -> Any:
        return json.loads('{"a":' * depth + "1" + "}" * depth)

    wide = {"a": [[]] * 100}
    assert only(make.event(metadata=nested(16))).metadata is not None
    assert only(make.event(metadata=wide)).metadata is not None
    assert refusal(make.event(metadata=nested(17)))[0] == "metadata_too_deep"
    assert refusal(make.event(unknown=nested(16)))[0] == "metadata_too_deep"


@pytest.mark.parametrize("seconds", [None, "3", True, -0.001, 1_000_001, [3]])
def test_a_dwell_needs_a_sensible_number_of_seconds(seconds: Any) -> None:
    item = make.event(event_type="trip_dwell", metadata={"duration_seconds": seconds})
    code, message, counted = refusal(item)
    assert (code, counted) == ("invalid_field", "trip_dwell")
    assert "duration_seconds" in message


def test_a_refusal_is_counted_under_a_registered_type_or_none() -> None:
    assert refusal(make.event(position=-1))[2] == "page_view"
    for strange in ("x" * 50, 5, None, ["page_view"]):
        assert refusal(make.event(event_type=strange, position=-1))[2] == "unknown"


@pytest.mark.parametrize("root", [None, 3, "x", {}, {"events": None}, {"events": {}}, {"Events": []}])
def test_what_is_no_batch_is_refused(root: Any) -> None:
    with pytest.raises(InvalidBody, match="send JSON like"):
        native.items(root, single=False)


def test_a_batch_over_the_limit_is_refused_before_an_event_is_read() -> None:
    with pytest.raises(TooLarge, match="101 events; at most 100"):
        parse(*[None] * 101)
    assert len(parse(*[None] * 100).rejected) == 100


def test_derived_ids_are_uuid5_in_the_namespace_that_is_fixed_for_ever() -> None:
    item = make.event(event_id=..., client_timestamp="2025-12-31T23:59:00Z")
    name = "\x1f".join(["default", "content", json.dumps(item, separators=(",", ":")), "0"])
    assert only(item).event_id == uuid5(NAMESPACE, name) == UUID("c92d8bbc-7536-56db-b8e1-32d07c031c17")
