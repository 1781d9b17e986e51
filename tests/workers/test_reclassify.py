"""Judging user agents again: who turns out to be a bot leaves every figure, who turns out to be none comes into all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from schema.event import now
from tests.make import DAY, T0, asked, batch, canonical, uid
from tests.workers.people import arrive, owners, said, sent, split
from tests.workers.pipeline import ROBOT, Pipeline, meanwhile, until_blocked, visit
from tests.workers.test_rebuild import derived
from tests.workers.traffic import traffic
from tripstream.cli import app
from workers import agents, mover, reclassify, resolve
from workers.agents import Verdict, outdated
from workers.drain import LOCK_SPACE
from workers.reclassify import Report, Turned

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
Judge = Callable[..., None]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Makes other rules: each call is another version, with these verdicts and else the usual ones."""

    def judge(verdicts: Mapping[str, Verdict] = {}) -> None:
        number = len(versions)
        versions.append(number)

        def classify(user_agent: str) -> Verdict:
            return verdicts.get(user_agent) or agents.classify(user_agent)

        for module in (reclassify, resolve, agents):
            monkeypatch.setattr(module, "rules", lambda: f"rules {number}")
        for module in (reclassify, resolve):
            monkeypatch.setattr(module, "classify", classify)

    versions: list[int] = []
    return judge


def again(pipe: Pipeline, **options: Any) -> Report:
    return reclassify.reclassify(pipe.settings, lambda *_: None, **options)


def two_sites(pipe: Pipeline, seed: int = 0) -> None:
    """A hundred events a site, of people and of ROBOT and CHROME, some in the same sessions; rolled up."""
    pipe.connection.execute(
        "INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', 'Asia/Jerusalem') ON CONFLICT DO NOTHING"
    )
    for n, site_id in enumerate(("default", "shop")):
        events = traffic(seed + n, 100, around=[T0, T0 + 40 * DAY], first=seed * 1000)
        for place, event in enumerate(events):
            if event.user_agent is None and place % 3 == 0:
                event.user_agent = CHROME
        pipe.send(*events, site_id=site_id)
    pipe.roll_up()


def state(pipe: Pipeline) -> dict[str, Any]:
    """Everything derived; users by what they did, because their numbers depend on who came first."""
    found: dict[str, Any] = derived(pipe)
    found["users"] = sorted(row[1:] for row in found["users"])
    found["events"] = pipe.rows("SELECT site_id, event_id, is_bot FROM events ORDER BY 1, 2")
    return found


BOT, PERSON = Verdict("Chrome", "Linux", "desktop", "seo: Chrome"), Verdict("Chrome", "Linux", "desktop", None)


@pytest.mark.parametrize("at_once", [25, 50_000])
def test_it_ends_as_if_the_new_rules_had_been_there_from_the_start(
    pipe: Pipeline, judge: Judge, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reclassify, "_EVENTS_AT_ONCE", at_once)
    judge()
    two_sites(pipe)
    before = state(pipe)
    judge({CHROME: BOT, ROBOT: PERSON})
    report = again(pipe)
    assert pipe.problems() == []
    after = state(pipe)
    assert after["events"] != before["events"]
    known = "SELECT DISTINCT is_bot, user_id IS NOT NULL, user_tenure_days >= 0 FROM events ORDER BY 1"
    assert pipe.rows(known) == [(False, True, True), (True, False, None)]
    assert {one.user_agent: one.bot_reason for one in report.turned} == {CHROME: "seo: Chrome", ROBOT: None}
    assert report.events == sum(one.events for one in report.turned) > 50
    judge()
    again(pipe)  # there and back
    assert pipe.problems() == []
    assert state(pipe) == before


def test_a_second_run_finds_nothing_to_do(pipe: Pipeline, judge: Judge) -> None:
    judge()
    two_sites(pipe)
    judge({CHROME: BOT})
    again(pipe)
    pipe.roll_up()
    before = state(pipe)
    assert again(pipe) == Report(0, 0, [], 0, 0)
    assert state(pipe) == before
    assert pipe.value("SELECT count(*) FROM dirty_hours") == 0


def test_rows_of_before_the_rules_had_a_version_are_judged(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1, user_agent=CHROME), visit(2, 2, user_agent=ROBOT), visit(3, 3))
    pipe.connection.execute("UPDATE user_agents SET rules_version = NULL, device_type = NULL, bot_reason = 'spider: x'"
                            " WHERE is_bot")  # fmt: skip
    assert outdated(pipe.connection) == 1
    assert again(pipe) == Report(1, 1, [], 0, 0)
    assert pipe.value("SELECT bot_reason FROM user_agents WHERE is_bot") == "search-engine: Googlebot"
    assert outdated(pipe.connection) == 0


def test_a_dry_run_says_what_would_change_and_changes_nothing(pipe: Pipeline, judge: Judge) -> None:
    judge()
    pipe.send(visit(1, 1, user_agent=CHROME), visit(2, 2, user_agent=ROBOT), visit(3, 2, user_agent=ROBOT))
    judge({CHROME: BOT, ROBOT: PERSON})
    before = state(pipe), pipe.rows("SELECT * FROM user_agents ORDER BY 1")
    expected = Report(2, 2, [Turned(ROBOT, None, 2), Turned(CHROME, "seo: Chrome", 1)], 3, 0)
    assert again(pipe, dry_run=True) == expected
    assert (state(pipe), pipe.rows("SELECT * FROM user_agents ORDER BY 1")) == before
    assert again(pipe) == expected


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_run_that_died_goes_on(pipe: Pipeline, judge: Judge, monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    monkeypatch.setattr(reclassify, "_EVENTS_AT_ONCE", 5)
    judge()
    two_sites(pipe)
    judge({CHROME: BOT, ROBOT: PERSON})

    def die(step: str, done: int, _total: int) -> None:
        if step == "events" and done >= 5:
            raise KeyboardInterrupt

    for death in range(deaths):
        with pytest.raises(KeyboardInterrupt):
            reclassify.reclassify(pipe.settings, die)
        assert outdated(pipe.connection) == 2
        two_sites(pipe, seed=death * 10 + 10)  # what comes meanwhile is judged by the new rules
    again(pipe)
    assert outdated(pipe.connection) == 0
    assert pipe.problems() == []
    by_agent = "SELECT DISTINCT user_agent, e.is_bot FROM events AS e JOIN user_agents USING (user_agent_id)"
    assert sorted(pipe.rows(by_agent)) == sorted([(ROBOT, False), (CHROME, True)])


def test_a_trip_of_which_only_bots_spoke_is_forgotten_and_one_that_was_only_looked_at_is_not(
    pipe: Pipeline, judge: Judge
) -> None:
    judge()
    pipe.send(visit(1, 1, trip_id=1, event_type="click_trip", user_agent=CHROME), visit(2, 2, trip_id=2))
    judge({CHROME: BOT})
    again(pipe)
    assert pipe.rows("SELECT trip_id, click_count FROM trip_interactions") == [(2, 0)]
    assert pipe.rows("SELECT anonymous_id FROM sessions") == [(uid(3, 2),)]
    assert pipe.problems() == []


def test_requests_for_recommendations_follow_and_so_do_their_days(pipe: Pipeline, judge: Judge) -> None:
    judge()
    for n, agent in enumerate((CHROME, ROBOT, None)):
        click = {"event_type": "click_trip", "trip_id": 101, "occurred_at": now() - DAY}
        pipe.ask(asked(n, user_agent=agent, requested_at=now() - 3 * DAY))
        pipe.send(canonical(n, recommendation_request_id=uid(5, n), **click), received_at=now())
    pipe.roll_up()
    figures = "SELECT sum(requests)::int, sum(clicks)::int FROM recommendation_daily"
    assert pipe.row(figures) == (2, 2)
    judge({CHROME: BOT})
    assert again(pipe).requests == 1
    pipe.roll_up()
    assert pipe.row(figures) == (1, 1)
    judge()
    again(pipe)
    assert pipe.problems() == []
    assert pipe.row(figures) == (2, 2)


def test_impressions_and_clicks_of_bots_are_in_no_figure_of_recommendations(pipe: Pipeline) -> None:
    pipe.ask(asked(1, user_agent=CHROME))
    for n, agent in enumerate((CHROME, ROBOT)):
        said = {"trip_id": 101, "recommendation_request_id": uid(5, 1), "user_agent": agent}
        pipe.send(
            visit(2 * n, n, event_type="impression", **said), visit(2 * n + 1, n, event_type="click_trip", **said)
        )
    pipe.roll_up()
    assert pipe.row("SELECT impressions, clicks, by_position FROM recommendation_daily") == (1, 1, [[1, 1]])


def test_what_a_bot_said_links_nobody_any_more_and_what_people_said_does(pipe: Pipeline, judge: Judge) -> None:
    judge()
    arrive(pipe, sent(said(1, 1)), sent(said(2, 1, "ann", user_agent=CHROME), "ann@x"), sent(said(3, 1, "ann")))
    arrive(pipe, sent(said(4, 2)), sent(said(5, 2, "bob", user_agent=CHROME), "ann@x"))
    arrive(pipe, sent(said(6, 3)), sent(said(7, 3, "cat"), "ann@x"), sent(said(8, 4, "ann", user_agent=CHROME)))
    assert owners(pipe) == split(range(1, 9))
    judge({CHROME: BOT})
    again(pipe)
    mover.run_once(pipe.connection)
    assert owners(pipe) == split([1, 3, 6, 7], [4])
    times = "SELECT value, extract(second FROM first_at)::int FROM identities WHERE kind = 'auth' ORDER BY 1"
    assert pipe.rows(times) == [("ann", 3), ("bob", None), ("cat", 7)]
    in_force = "SELECT auth, valid_from::text LIKE '%%:03+00' FROM identities WHERE kind = 'anonymous' AND auth <> ''"
    assert sorted(pipe.rows(in_force + " AND undone_at IS NULL")) == [("ann", True), ("cat", False)]
    assert pipe.problems() == []


def test_it_waits_for_drains_and_accepting_goes_on(pipe: Pipeline, judge: Judge) -> None:
    judge()
    pipe.send(visit(1, 1, user_agent=CHROME))
    judge({CHROME: BOT})
    pipe.connection.execute("SELECT pg_advisory_lock(%s, 1)", (LOCK_SPACE,))
    with meanwhile(lambda: again(pipe)) as finished:
        until_blocked(pipe.settings)
        pipe.accept(batch(visit(2, 1, user_agent=CHROME)))
        assert pipe.value("SELECT is_bot FROM user_agents") is False
        pipe.connection.execute("SELECT pg_advisory_unlock(%s, 1)", (LOCK_SPACE,))
        finished()
    pipe.drain()
    assert pipe.rows("SELECT is_bot FROM events") == [(True,), (True,)]
    assert pipe.problems() == []


def test_the_command_says_what_it_did(settings: Any, pipe: Pipeline) -> None:
    pipe.send(visit(1, 1, user_agent=ROBOT))
    pipe.connection.execute("UPDATE user_agents SET rules_version = NULL, is_bot = false, bot_reason = NULL")
    pipe.connection.execute("UPDATE events SET is_bot = false")
    known = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    commands = (("reclassify", "--dry-run"), ("status",), ("reclassify",), ("status",))
    said = [CliRunner().invoke(app, arguments, env=known).output for arguments in commands]
    assert "search-engine: Googlebot" in said[0]
    assert "1 events would change" in said[0]
    assert "1 user agents were judged by older rules" in said[1]
    assert "1 events changed" in said[2]
    assert "older rules" not in said[3]
