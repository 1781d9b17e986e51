"""Platform events: over HTTP as in SQL, with one answer and one event."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from ingest.dialects import platform
from schema import db, stream
from schema.errors import InvalidBody
from tests.ingest.contexts import context
from tests.ingest.serving import Server, Site, drain, select
from workers import outbox

PATH = "/rpc/emit_platform_event"
EMITTED = (
    "SELECT emit_platform_event(%(event_type)s, %(event_category)s, %(user_id)s, %(entity_type)s,"
    " %(entity_id)s, %(event_data)s, %(metadata)s)"
)
MADE = {
    "event_type": "booking.made",
    "event_category": "transaction",
    "user_id": "ann",
    "entity_type": "booking",
    "entity_id": "42",
    "event_data": {"price": 9.5},
    "metadata": {"app": "shop", "entity_id": "other"},
}


def parsed(body: Any, **more: Any) -> Any:
    return platform.parse(platform.read(json.dumps(body).encode()), context(**more))


def test_names_may_have_the_prefix_of_the_functions_parameters() -> None:
    plain = parsed({**MADE, "event_id": "m", "p_odd": 1})
    prefixed = parsed({f"p_{name}": value for name, value in {**MADE, "event_id": "m", "odd": 1}.items()})
    assert plain == prefixed
    (event,) = plain.events
    assert (plain.category, event.event_type, event.claimed_user) == ("transaction", "booking.made", "ann")
    assert json.loads(event.metadata) == {
        "app": "shop",
        "entity_id": "other",
        "event.entity_id": "42",
        "entity_type": "booking",
        "event_data": {"price": 9.5},
        "event_category": "transaction",
        "p_odd": 1,
        "event_id": "m",
    }


def test_a_type_is_enough() -> None:
    found = parsed({"event_type": "x", "user_id": None, "event_data": None, "metadata": None})
    assert (found.category, found.events[0].claimed_user, found.events[0].metadata) == (None, None, None)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"event_type": ""}, "event_type"),
        ({"event_category": "sales"}, "event_category"),
        ({"user_id": {}}, "user_id"),
        ({"entity_id": [1]}, "entity_id"),
        ({"metadata": [1]}, "metadata"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], field: str) -> None:
    found = parsed(MADE | more)
    assert not found.events
    assert found.rejected[0].message.startswith(f"{field}: ")


@pytest.mark.parametrize("body", [[], "x", None])
def test_what_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidBody):
        parsed(body)


def test_strict_sites_take_registered_types_only() -> None:
    assert parsed(MADE, strict=True).rejected[0].code == "unknown_event_type"
    assert parsed({"event_type": "page_view"}, strict=True).events


def test_an_unknown_type_is_registered_with_the_category_and_the_answer_is_the_events_id(site: Site) -> None:
    body = {**MADE, "event_type": f"{site.site_id}.made", "site_id": site.site_id}
    answer = site.server.post(json.dumps(body).encode(), PATH, headers={"apikey": site.key})
    assert answer.status_code == 200
    ((event_id, category, user),) = site.rows("event_id, category::text, claimed_user")
    assert (UUID(answer.json()), "transaction", "ann") == (event_id, category, user)
    assert site.server.post(b"{}", PATH, headers={"apikey": site.key}).json() == {
        "code": "invalid_field",
        "message": "event_type: is missing",
    }
    assert site.figures() == (1, 1, 0, 0)


def test_emitted_in_sql_it_is_the_same_event_as_over_http(shared: Server) -> None:
    answer = shared.post(json.dumps(MADE).encode(), PATH)
    with db.connect(shared.settings) as writer, stream.connect(shared.settings.streams_url) as redis:
        values = {k: Jsonb(v) if isinstance(v, dict) else v for k, v in MADE.items()}
        emitted = writer.execute(EMITTED, values).fetchall()[0][0]
        outbox.run_once(writer, redis, shared.settings)
    drain(shared.settings)
    query = "SELECT event_type, category, claimed_user, metadata, user_id FROM readable_events WHERE event_id = %s"
    over_http = select(shared.settings, query, UUID(answer.json()))
    assert select(shared.settings, query, emitted) == over_http
    assert len(over_http) == 1


def nested(levels: int) -> Any:
    return {"a": nested(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, None),
        ({"event_type": ""}, "invalid_field"),
        ({"event_type": "  "}, "invalid_field"),
        ({"event_type": "x" * 100}, None),
        ({"event_type": "ü" * 101}, "invalid_field"),
        ({"event_category": "sales"}, "invalid_field"),
        ({"event_category": ""}, "invalid_field"),
        ({"event_category": None, "user_id": "", "entity_id": ""}, None),
        ({"user_id": "ü" * 500}, None),
        ({"user_id": "x" * 501}, "invalid_field"),
        ({"entity_type": "x" * 501}, "invalid_field"),
        ({"entity_id": "x" * 501}, "invalid_field"),
        ({"event_data": nested(15)}, None),
        ({"event_data": nested(16)}, "metadata_too_deep"),
        ({"event_data": nested(500)}, "metadata_too_deep"),
        ({"metadata": nested(16)}, None),
        ({"metadata": nested(17)}, "metadata_too_deep"),
        ({"metadata": {"brackets": "[{" * 50}}, None),
        ({"event_data": [1] * 16_000}, None),  # Postgres writes it with spaces, keeps it six times as large
        ({"event_data": ["\x01"] * 3_000}, None),
        ({"event_data": [1] * 17_000}, "metadata_too_large"),
        ({"event_data": "x" * 32_768}, "metadata_too_large"),
        ({"event_data": "x" * 1_000_000}, "metadata_too_large"),
        ({"event_type": "trip_dwell"}, "invalid_field"),
        ({"event_type": "trip_dwell", "metadata": {"duration_seconds": "5"}}, "invalid_field"),
        ({"event_type": "trip_dwell", "metadata": {"duration_seconds": 1_000_000.5}}, "invalid_field"),
        ({"event_type": "trip_dwell", "metadata": {"duration_seconds": 2.5}}, None),
        ({"event_type": "trip_dwell", "event_data": {"duration_seconds": 5}}, "invalid_field"),
    ],
)
def test_sql_and_http_refuse_and_keep_the_same(shared: Server, more: dict[str, Any], code: str | None) -> None:
    body = MADE | more
    answer = shared.post(json.dumps(body).encode(), PATH)
    with db.connect(shared.settings) as writer, stream.connect(shared.settings.streams_url) as redis:
        values = {k: Jsonb(v) if k in ("event_data", "metadata") else v for k, v in body.items()}
        emitted = writer.execute(EMITTED, values).fetchall()[0][0]
        outbox.run_once(writer, redis, shared.settings)
    query = "SELECT processing_status, error_message FROM event_outbox WHERE event_id = %s"
    ((status, error),) = select(shared.settings, query, emitted)
    if code is None:
        assert (answer.status_code, status, error) == (200, "processed", None)
        drain(shared.settings)
        kept = "SELECT event_type, claimed_user, metadata FROM readable_events WHERE event_id = %s"
        assert select(shared.settings, kept, emitted) == select(shared.settings, kept, UUID(answer.json())) != []
    else:
        assert (answer.status_code, status) == (400, "pending")
        assert error == f"{code}: {answer.json()['message']}"[:500]
        assert answer.json()["code"] == code
