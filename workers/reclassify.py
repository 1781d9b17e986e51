"""Judges every user agent again by the present rules. In: user_agents with older verdicts. Out: new ones, and events,
sessions, users and trips that say the same; hours and days are marked for the next rollup.

Bots have no user and count nowhere, so what turns out to be a bot's is taken out of every figure, and what turns out to
be people's is given users as the drain gives them. The lanes' locks and the movers' are held meanwhile: draining waits,
accepting goes on. Each transaction moves some events of one day with all their figures, and undoes the links that bots
made, after which the mover does its part; after a crash the agents are outdated still, and the next run goes on with
what was not moved. A device written into an event stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from schema import db, sites
from schema.db import Connection
from schema.event import Batch, Event
from schema.settings import Settings
from schema.sql import load
from workers import mover
from workers.agents import Verdict, classify, outdated, rules
from workers.copying import make_tables
from workers.identities import link_visitors
from workers.resolve import Staged
from workers.tenure import days_known
from workers.verify import standstill

_SQL = load("agents")
_DRAIN = load("drain")
_REQUESTS = load("requests")
_BASE = load("folding")
_AGENTS_AT_ONCE = 1_000
_EVENTS_AT_ONCE = 50_000
Progress = Callable[[str, int, int], None]


class Turned(NamedTuple):
    """A user agent that turned out to be a bot, with the reason, or no bot; `events` of it are stored."""

    user_agent: str
    bot_reason: str | None
    events: int


class Report(NamedTuple):
    """How many user agents were judged, of how many the verdict changed, which of them became bots or people, and how
    many events and requests for recommendations changed with them; before they do, `events` is what would."""

    agents: int
    changed: int
    turned: list[Turned]
    events: int
    requests: int


class _Judged(NamedTuple):
    """`outdated` are ids; `verdicts` those that changed; `turned` the user agents whose events do too."""

    outdated: list[int]
    verdicts: dict[int, Verdict]
    turned: dict[int, str]


def reclassify(settings: Settings, progress: Progress, *, dry_run: bool = False) -> Report:
    """Bring every verdict, and what follows from it, to the present rules; or, with `dry_run`, say what would."""
    with db.connect(settings, statement_seconds_max=0) as connection:
        judged = _judge(connection, progress)
        counts = dict(connection.execute(_SQL["events_of"], {"ids": list(judged.turned)}).fetchall())
    turned = [Turned(name, judged.verdicts[one].bot_reason, counts.get(one, 0)) for one, name in judged.turned.items()]
    turned.sort(key=lambda one: (-one.events, one.user_agent))
    report = Report(len(judged.outdated), len(judged.verdicts), turned, sum(counts.values()), 0)
    if dry_run or not judged.outdated:
        return report
    with standstill(settings) as (connection, _, _), ExitStack() as stack:
        mover.run_once(connection)
        for site_id in sorted(sites.ids(connection)):
            stack.enter_context(mover.alone(connection, site_id))
        make_tables(connection)
        connection.execute(_SQL["make_changed"])
        _write(connection, judged.verdicts)
        events = _move(connection, progress)
        requests = _change_requests(connection)
        connection.execute(_SQL["judged"], {"rules": rules(), "ids": judged.outdated})
    return report._replace(events=events, requests=requests)


def _judge(connection: Connection, progress: Progress) -> _Judged:
    found = _Judged([], {}, {})
    total = outdated(connection)
    after = 0
    while True:
        page = {"rules": rules(), "after": after, "most": _AGENTS_AT_ONCE}
        rows = connection.execute(_SQL["outdated"], page).fetchall()
        for agent_id, user_agent, is_bot, *before in rows:
            verdict = classify(user_agent)
            if verdict != tuple(before):
                found.verdicts[agent_id] = verdict
            if is_bot != (verdict.bot_reason is not None):
                found.turned[agent_id] = user_agent
            found.outdated.append(agent_id)
            after = agent_id
        progress("user agents", len(found.outdated), max(total, len(found.outdated)))
        if len(rows) < _AGENTS_AT_ONCE:
            return found


def _write(connection: Connection, verdicts: Mapping[int, Verdict]) -> None:
    columns = zip(*verdicts.values(), strict=True) if verdicts else ([],) * len(Verdict._fields)
    names = ("browsers", "systems", "devices", "reasons")
    judged = {"ids": list(verdicts)} | dict(zip(names, map(list, columns), strict=True))
    with connection.transaction():  # or a run that went on after a crash would not know what another name had
        connection.execute(_SQL["mark_renamed"], judged)
        connection.execute(_SQL["judge"], judged)


def _move(connection: Connection, progress: Progress) -> int:
    """Move every event that does not say what its user agent is, day by day. Returns how many there were."""
    days = connection.execute(_SQL["changed_days"]).fetchall()
    total: int = sum(count for _, _, count in days)
    done = 0
    for starts, ends, _ in days:
        day = {"starts": starts, "ends": ends, "most": _EVENTS_AT_ONCE}
        while moved := _move_some(connection, day):
            done += moved
            progress("events", done, total)
    if total:
        _forget_trips(connection)
    return total


def _forget_trips(connection: Connection) -> None:
    """Take out trips of which only bots spoke, as they would never have come in."""
    silent = set(connection.execute(_SQL["silent_trips"]).fetchall())
    if silent:
        silent -= set(connection.execute(_SQL["spoken_of"], {"trips": [trip for _, trip in silent]}).fetchall())
        sites, trips = [site for site, _ in silent], [trip for _, trip in silent]
        connection.execute(_SQL["forget_trips"], {"sites": sites, "trips": trips})


def _move_some(connection: Connection, day: dict[str, Any]) -> int:
    """Some of a day's events, with all that counts them."""
    with connection.transaction():
        connection.execute("SET LOCAL enable_seqscan = off")  # a month without statistics would be read whole
        moved = connection.execute(_SQL["find_changed"], day).rowcount
        if moved == 0:
            return 0
        connection.execute("ANALYZE changed")
        former = _users(connection)
        _take_from_trips(connection)
        connection.execute(_SQL["turn_changed"])
        _give_users(connection)
        connection.execute(_SQL["move_changed"], day)
        connection.execute(_SQL["undo_links"])
        connection.execute(_SQL["restate_first"])
        steps = [_DRAIN["store_trips"], _DRAIN["mark_hours"], _DRAIN["mark_days"], _REQUESTS["mark_answered"]]
        _stage(connection, _SQL["stage_changed"], {}, steps)
        steps = [_SQL["clear_sessions"], _BASE["put_changed_sessions"]]
        steps += [_DRAIN["store_sessions"], _DRAIN["describe_sessions"]]
        _stage(connection, _SQL["stage_sessions"], {}, steps)
        users = {"users": sorted({*former, *_users(connection)})}
        connection.execute(_SQL["clear_users"], users)
        connection.execute(_BASE["put_users"], users)
        _stage(connection, _SQL["stage_users"], users, [_DRAIN["store_users"]])
    return moved


def _users(connection: Connection) -> list[int]:
    return [user_id for (user_id,) in connection.execute(_SQL["users_of_changed"])]


def _take_from_trips(connection: Connection) -> None:
    """Subtract what people's events, who are bots' now, had added."""
    connection.execute(_SQL["shadow_trips"])
    _stage(connection, _SQL["stage_changed"], {}, [_DRAIN["store_trips"], _SQL["take_from_trips"]])
    connection.execute("DROP TABLE pg_temp.trip_interactions")


def _stage(connection: Connection, fill: Any, values: Mapping[str, Any], steps: Sequence[Any]) -> None:
    """Run the drain's queries over the events that `fill` puts on the stage."""
    connection.execute("TRUNCATE pg_temp.stage")
    connection.execute(fill, values)
    for step in steps:
        connection.execute(step)


def _give_users(connection: Connection) -> None:
    """Users, as the drain finds them, for the events that turned out to be people's."""
    staged = [_staged(*row) for row in connection.execute(_SQL["people"])]
    if not staged:
        return
    users = link_visitors(connection, staged, set())
    days = days_known(connection, staged, users)
    given = {
        "sites": [staged[index].batch.site_id for index in users],
        "event_ids": [staged[index].event.event_id for index in users],
        "users": list(users.values()),
        "days": [days[index] for index in users],
    }
    connection.execute(_SQL["give_users"], given)


def _staged(site_id: str, event_id: Any, occurred_at: int, received_at: int, batch_id: Any, *who: Any) -> Staged:
    """An event as far as its user is concerned."""
    session_id, anonymous_id, claimed_user, auth_user_id = who
    event = Event(event_id, "", occurred_at, session_id, anonymous_id, claimed_user, auth_user_id=auth_user_id)
    return Staged(event, Batch(site_id=site_id, batch_id=batch_id, received_at=received_at, events=[]))


def _change_requests(connection: Connection) -> int:
    """Requests follow; their days, and every later one, which may have events that speak of them, are marked."""
    with connection.transaction():
        turned = connection.execute(_SQL["change_requests"]).fetchall()
        if turned:
            sites, since, _ = map(list, zip(*turned, strict=True))
            connection.execute(_REQUESTS["mark_asked"], {"site_id": sites, "requested_at": since})
    return sum(count for _, _, count in turned)
