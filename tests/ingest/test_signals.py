"""Sec-GPC and DNT: heeded where a site honours them, on every route that takes events or ids."""

from __future__ import annotations

from typing import Any

import pytest

from schema import db, live, sites, stream
from schema.errors import ConfigError
from schema.settings import Settings
from tests.ingest.serving import Server, add_site, select
from tests.make import event, uid

SAYS = ({"sec-gpc": "1"}, {"dnt": "1"})
SEGMENT = {"type": "track", "event": "Clicked", "anonymousId": "ann", "messageId": "m1"}


@pytest.fixture
def key(server: Server) -> str:
    made = add_site(server.settings, "quiet", signals="honour")
    server.look()
    return made


def kept(settings: Settings) -> list[Any]:
    """Whatever Redis has of the site but counts of what was refused."""
    with stream.connect(settings.streams_url) as redis:
        lanes = [entry for lane in range(settings.lanes) for entry in stream.waiting(redis, lane, "+")]
        return lanes + list(live.found(redis, "quiet", [str(uid(3))]))


def test_nothing_is_kept_of_a_browser_that_opts_out_and_what_it_sent_is_counted(server: Server, key: str) -> None:
    for says in SAYS:
        head = says | {"x-write-key": key}
        answer = server.request("POST", "/api/events/batch", headers=head, json={"events": [event(1), event(2)]})
        assert answer.status_code == 202
        assert (answer.json()["accepted"], [r["code"] for r in answer.json()["rejected"]]) == (0, ["opted_out"] * 2)
        assert server.request("POST", "/api/events", headers=head, json=event(3)).status_code == 202
        assert server.request("POST", "/v1/track", headers=head, json=SEGMENT).status_code == 200
        started = server.request("POST", "/api/session/start", headers=head, json={"anonymous_id": str(uid(3))})
        assert (started.status_code, started.json()["resumed"]) == (200, False)
    assert kept(server.settings) == []
    with stream.connect(server.settings.streams_url) as redis:
        assert stream.rejected(redis, "quiet") == {"page_view opted_out": 6, "unknown opted_out": 2}
        assert stream.accepted(redis, ["quiet"]) == {"quiet": 0}


def test_others_are_kept_and_a_site_that_ignores_the_signals_keeps_all(server: Server, key: str) -> None:
    for says in ({}, {"dnt": "0"}, {"sec-gpc": "0"}):
        answer = server.request(
            "POST", "/api/events/batch", headers=says | {"x-write-key": key}, json={"events": [event(1)]}
        )
        assert answer.json()["accepted"] == 1
    assert server.request("POST", "/api/events", headers=SAYS[0], json=event(1)).json()["accepted"] == 1


def test_a_site_changes_its_mind_and_is_told_what_it_may_say(server: Server, key: str) -> None:
    with db.connect(server.settings, "owner") as connection:
        sites.change_site(connection, "quiet", {"signals": "ignore"})
        sites.change_site(connection, "quiet", {"name": "still"})
        with pytest.raises(ConfigError, match="honour"):
            sites.change_site(connection, "quiet", {"signals": "maybe"})
    assert select(server.settings, "SELECT signals FROM sites WHERE site_id = 'quiet'") == [("ignore",)]
    sites.announce(server.settings)
    server.look()
    head = SAYS[0] | {"x-write-key": key}
    assert server.request("POST", "/api/events", headers=head, json=event(1)).json()["accepted"] == 1
