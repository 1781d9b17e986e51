"""The routes of other vendors' SDKs over HTTP: keys, answers, limits, what their pages ask for first."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.app import DIALECTS
from ingest.rules import Parsed
from schema import stream
from schema.errors import InvalidBody
from tests import make
from tests.ingest.contexts import context
from tests.ingest.serving import Server, Site, add_site, drain, figures
from tests.ingest.test_properties import DAMAGED, VALUES
from tests.ingest.test_sdk_shapes import ADDRESS, call, capture

PAGE = "https://shop.example"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
SDK_AGENT = {"user-agent": "analytics-node/3.0.13"}
SEGMENT = ["/v1/batch", "/v1/b", "/v1/import", "/v1/t", "/v1/track", "/v1/p", "/v1/page", "/v1/i", "/v1/identify"]
SEGMENT += ["/v1/g", "/v1/group", "/v1/a", "/v1/alias", "/v1/s", "/v1/screen", "/beacon/v1/batch", "/api/s/track"]
SEGMENT += ["/api/s/page", "/api/s/identify", "/api/s/group", "/api/s/alias", "/api/s/screen"]
POSTHOG = ["/batch/", "/batch", "/e/", "/e", "/i/v0/e/", "/capture/"]


def batch(*items: Any, **more: Any) -> bytes:
    return json.dumps({"batch": list(items), **more}).encode()


def basic(user: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


@pytest.mark.parametrize("path", SEGMENT + POSTHOG)
def test_every_path_answers_exactly_200_with_a_little_json(site: Site, path: str) -> None:
    item = call() if path in SEGMENT else capture()
    answer = site.server.post(batch(item, api_key=site.key, writeKey=site.key), path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() in ({"success": True}, {"status": 1})
    assert site.figures().stored == 1


def ways(key: str) -> list[tuple[str, bytes, dict[str, str]]]:
    """Every way in which an SDK sends its key."""
    return [
        ("/v1/batch", batch(call()), basic(key)),
        ("/v1/batch", batch(call(), writeKey=key), {}),
        ("/api/s/track", json.dumps(call(writeKey=f"{key}:***")).encode(), {"x-write-key": f"{key}:secret"}),
        ("/v1/t", json.dumps(call(writeKey="***")).encode(), {"x-write-key": key}),
        (f"/beacon/v1/batch?writeKey={key}", batch(call()), {"content-type": "text/plain"}),
        ("/v1/batch", batch(call()), {"apikey": key}),
        ("/batch/", batch(capture(), api_key=key), {}),
        ("/e/", json.dumps([capture(token=key)]).encode(), {}),
        ("/e/", json.dumps(capture() | {"api_key": key}).encode(), {}),
        ("/i/v1/analytics/events", batch(capture()), {"authorization": f"Bearer {key}"}),
    ]


@pytest.mark.parametrize("way", range(10))
def test_a_key_is_found_wherever_an_sdk_puts_it_and_a_wrong_one_is_told(site: Site, way: int) -> None:
    path, content, headers = ways(site.key)[way]
    assert site.server.post(content, path, headers=headers).status_code == 200
    assert site.figures().stored == 1
    path, content, headers = ways("wrong")[way]
    refusal = site.server.post(content, path, headers=headers)
    assert refusal.status_code == 401
    assert refusal.json().keys() == {"code", "message"}


def test_a_masked_key_alone_is_refused_and_no_key_is_refused_but_by_an_open_site(shared: Server) -> None:
    assert shared.post(json.dumps(call(writeKey="abc:***")).encode(), "/api/s/track").status_code == 401
    assert shared.post(batch(call()), "/v1/batch", host="198.51.100.7").status_code == 401
    assert shared.post(batch(call(messageId="open")), "/v1/batch").status_code == 200


def test_content_types_are_ignored_and_gzip_is_known_by_its_first_bytes(site: Site) -> None:
    forms = ["application/x-www-form-urlencoded", "text/plain", "application/json;charset=UTF-8", "nonsense"]
    for n, said in enumerate(forms):
        raw = batch(call(messageId=f"plain {n}"), writeKey=site.key)
        packed = gzip.compress(batch(call(messageId=f"gzip {n}"), writeKey=site.key))
        assert site.server.post(raw, "/v1/batch", headers={"content-type": said}).status_code == 200
        assert site.server.post(packed, "/v1/batch", headers={"content-type": said}).status_code == 200
    assert site.figures().stored == 2 * len(forms)


def test_a_form_with_base64_is_read(site: Site) -> None:
    packed = base64.b64encode(batch(capture(), api_key=site.key)).decode()
    answer = site.server.request("POST", "/e/?compression=base64", data={"data": packed})
    assert answer.json() == {"status": 1}
    assert site.figures().stored == 1


def test_batches_are_limited_by_bytes_and_not_by_events(site: Site) -> None:
    items = [call(messageId=f"m{n}", properties={"text": "x" * 700}) for n in range(3000)]
    raw = batch(*items, writeKey=site.key)
    assert len(raw) > 2 << 20
    assert site.server.post(raw, "/v1/batch", headers=SDK_AGENT).status_code == 200
    assert site.figures().stored == 3000
    limit = site.server.settings.sdk_body_bytes_max
    for content in (b" " * (limit + 1), gzip.compress(b" " * (limit + 1)), b'{"batch":[' + b"0," * 50_000 + b"0]}"):
        answer = site.server.post(content, "/v1/batch", headers=basic(site.key))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_one_bad_event_costs_its_neighbours_nothing_and_sending_again_adds_nothing(site: Site) -> None:
    content = batch(call(), 7, call(event=None, context={"ip": ADDRESS}), writeKey=site.key)
    for _ in range(2):
        assert site.server.post(content, "/v1/batch").status_code == 200
    assert site.figures() == (6, 1, 1, 4)


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/t", "/e/"])
@pytest.mark.parametrize("content", [b"", b"no", b"[", b"5", b'"x"', b"{}", b'{"batch":5}', b'{"batch":{}}', b"\xff"])
def test_400_is_for_what_cannot_be_read_at_all(shared: Server, path: str, content: bytes) -> None:
    answer = shared.post(content, path)
    expected = 200 if (path, content) == ("/v1/t", b"{}") else 400  # a call without a name: quarantined
    assert answer.status_code == expected
    assert expected == 200 or answer.json().keys() == {"code", "message"}


def test_of_a_server_that_relays_neither_its_agent_nor_its_address_is_the_visitors(site: Site) -> None:
    about = {"userAgent": AGENT, "ip": ADDRESS}
    site.server.post(batch(call(messageId=str(make.uid(1, 1))), writeKey=site.key), "/v1/batch", headers=SDK_AGENT)
    item = call(messageId=str(make.uid(1, 2)), context=about)
    site.server.post(batch(item, writeKey=site.key), "/v1/batch", headers=SDK_AGENT)
    page = {"origin": PAGE, "user-agent": AGENT}
    item = call(messageId=str(make.uid(1, 3)))
    site.server.post(batch(item, writeKey=site.key), "/v1/batch", headers=page)
    expected = [(None, None), (AGENT, None), (AGENT, "127.0.0.0/24")]
    assert [(agent, ip and str(ip)) for agent, ip in site.rows("user_agent, ip_prefix")] == expected


def test_no_whole_address_reaches_the_queue(site: Site) -> None:
    items = call(context={"ip": ADDRESS}), call(event=None, context={"ip": ADDRESS})
    site.server.post(batch(*items, writeKey=site.key), "/v1/batch")
    site.server.post(batch(capture(**{"$ip": ADDRESS}), api_key=site.key), "/e/")
    with stream.connect(site.server.settings.streams_url) as redis:
        queued = [redis.xrange(f"ev:{lane}") for lane in range(site.server.settings.lanes)]
    assert b"203.0.113.0/24" in str(queued).encode()
    assert ADDRESS not in str(queued)


def test_the_newer_protocol_of_posthog_hears_of_every_event(site: Site) -> None:
    items = [capture() | {"uuid": str(make.uid(1, n))} for n in range(2)] + [7, {"uuid": "odd"}]
    headers = {"authorization": f"Bearer {site.key}"}
    answer = site.server.post(batch(*items), "/i/v1/analytics/events", headers=headers)
    names = [str(make.uid(1, 0)), str(make.uid(1, 1)), "odd"]
    assert answer.json() == {"results": {name: {"result": "ok"} for name in names}}


def test_a_preflight_is_granted_whatever_headers_it_asks_for(shared: Server) -> None:
    asked = "authorization,content-type,x-retry-count,anonymousid,sentat,rsa-retry-attempt,x-write-key"
    headers = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": asked}
    for path in ("/v1/t", "/e/", "/sourceConfig/", "/flags/"):
        told = shared.request("OPTIONS", path, headers=headers)
        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == PAGE
        assert told.headers["access-control-allow-headers"] == asked
        assert int(told.headers["access-control-max-age"]) > 0
    headers["access-control-request-headers"] = "x-client-info, content-profile, prefer, apikey"
    told = shared.request("OPTIONS", "/rpc/emit_platform_event", headers=headers)
    assert told.headers["access-control-allow-headers"].endswith("x-client-info, content-profile, prefer, apikey")
    for path in ("/v1/t", "/e/"):
        answer = shared.post(b"no", path, headers={"origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-expose-headers"] == "retry-after"


def test_a_full_queue_is_503_with_retry_after_for_them_too(shared: Server) -> None:
    shared.gate.memory_share = 1.0
    try:
        answer = shared.post(batch(call()), "/v1/batch")
    finally:
        shared.gate.memory_share = 0.0
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert answer.json().keys() == {"code", "message"}


def test_pages_hear_where_to_send_and_that_nothing_else_is_on(shared: Server) -> None:
    get = lambda path: shared.request("GET", path, headers={"origin": PAGE})  # noqa: E731 a name for this test only
    sends = get("/v1/projects/KEY/settings").json()["integrations"]["Segment.io"]
    assert sends["apiKey"] == "KEY"
    assert f"{sends['protocol']}://{sends['apiHost']}" == "http://tripstream.test/v1"
    source = get("/sourceConfig/?writeKey=KEY").json()["source"]
    assert source["enabled"] and source["destinations"] == [] and source["writeKey"] == "KEY"
    assert get("/array/phc_x/config").json()["sessionRecording"] is False
    script = get("/array/phc_x/config.js")
    assert script.headers["content-type"].startswith("application/javascript")
    assert b"_POSTHOG_REMOTE_CONFIG" in script.content
    for path in ("/flags/?v=2", "/flags", "/decide/?v=3"):
        assert shared.post(gzip.compress(b"{}"), path, headers={"origin": PAGE}).json()["featureFlags"] == {}
    assert get("/flags/").headers["access-control-allow-origin"] == PAGE
    assert shared.request("HEAD", "/v1/projects/KEY/settings").status_code == 200
    assert get("/array/%3Cscript%3E/config.js").status_code == 404


ITEMS = DAMAGED | st.lists(
    st.builds(
        lambda base, changed: base | changed,
        st.sampled_from([call(), capture()]),
        st.dictionaries(
            st.sampled_from(
                ["type", "event", "userId", "anonymousId", "context", "properties", "timestamp", "distinct_id"]
            )
            | st.sampled_from(["messageId", "uuid", "sentAt", "offset", "traits", "$set", "session_id", "options"]),
            VALUES
            | st.dictionaries(
                st.sampled_from(
                    [
                        "page",
                        "campaign",
                        "screen",
                        "ip",
                        "sessionId",
                        "userAgent",
                        "url",
                        "path",
                        "$device_id",
                        "$session_id",
                        "$current_url",
                        "$ip",
                        "trip_id",
                        "source",
                        "name",
                        "width",
                        "$time",
                        "utm_source",
                    ]
                ),
                VALUES,
                max_size=4,
            ),
            max_size=4,
        ),
    ),
    max_size=5,
)


@given(st.sampled_from(["/v1/batch", "/v1/t", "/v1/p", "/e/"]), ITEMS, st.booleans(), VALUES)
def test_every_item_becomes_an_event_or_is_quarantined(path: str, items: list[Any], strict: bool, sent: Any) -> None:
    root = {"batch": items, "sentAt": sent, "sent_at": sent}
    dialect = DIALECTS[path]
    raw = json.dumps(root, default=str).encode()
    found = dialect.parse(dialect.read(raw), context(strict=strict))
    assert len(found.events) + len(found.quarantined) == len(items)
    again: Parsed = dialect.parse(dialect.read(raw), context(strict=strict))
    assert again.quarantined == found.quarantined


def test_no_json_and_no_bytes_make_a_500_and_the_books_balance(shared: Server) -> None:
    paths = st.sampled_from([*SEGMENT, *POSTHOG, "/i/v1/analytics/events"])
    bodies = VALUES | ITEMS | st.fixed_dictionaries({"batch": ITEMS | VALUES, "api_key": VALUES, "writeKey": VALUES})

    @given(paths, bodies.map(lambda value: json.dumps(value, default=str).encode()) | st.binary(max_size=60))
    def check(path: str, content: bytes) -> None:
        answer = shared.post(content, path)
        assert answer.status_code in (200, 400, 401), answer.text
        assert answer.status_code == 200 or answer.json().keys() == {"code", "message"}

    check()
    drain(shared.settings)
    assert figures(shared.settings).conserved


@given(st.binary(max_size=60))
def test_bytes_are_json_or_refused(raw: bytes) -> None:
    with suppress(InvalidBody):
        DIALECTS["/e/"].read(raw)


def test_a_strict_site_takes_the_calls_that_sdks_make_by_themselves(shared: Server) -> None:
    key = add_site(shared.settings, "strict-sdk", strict=True)
    shared.look()
    calls = [
        {"type": kind, "userId": "u", "messageId": kind} for kind in ("page", "screen", "identify", "group", "alias")
    ]
    assert shared.post(batch(*calls, writeKey=key), "/v1/batch").status_code == 200
    drain(shared.settings)
    assert figures(shared.settings, "strict-sdk")[1:] == (5, 0, 0)
