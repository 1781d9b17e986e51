"""From names to ids: event types, user agents, referrers, visitors, months. In: unpacked batches. Out: `stage` rows.

Dictionaries are filled before the drain's transaction and outlive its rollback: an id without a row does no harm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from msgspec.structs import astuple

from schema.db import Connection
from schema.event import EVENT_FIELDS, MICROSECOND, Batch, Event
from schema.sql import load
from workers.agents import classify

_CACHE_MAX = 50_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SQL = load("drain")
_TYPE, _TIME, _SESSION, _REFERRER, _AGENT = (
    EVENT_FIELDS.index(f) for f in ("event_type", "occurred_at", "session_id", "referrer", "user_agent")
)


class Staged(NamedTuple):
    """One event on its way into a row, with the batch it came in."""

    event: Event
    batch: Batch

    @property
    def agent(self) -> str | None:
        """The event's own user agent, else its request's."""
        return self.event.user_agent or self.batch.user_agent

    @property
    def visitor(self) -> tuple[str, str, str]:
        """Site, kind and value of the identity that stands for the visitor."""
        if self.event.anonymous_id is not None:
            return self.batch.site_id, "anonymous", str(self.event.anonymous_id)
        if self.event.claimed_user is not None:
            return self.batch.site_id, "claimed", self.event.claimed_user
        return self.batch.site_id, "batch", str(self.batch.batch_id)


class Agent(NamedTuple):
    user_agent_id: int
    is_bot: bool


class Dictionaries:
    """Ids that never change once given, cached for the life of a drain."""

    def __init__(self) -> None:
        self.types: dict[str, tuple[int, str]] = {}
        self.agents: dict[str, Agent] = {}
        self.referrers: dict[str, int] = {}
        self._months: set[tuple[str, int, int]] = set()

    def learn(self, connection: Connection, staged: Sequence[Staged]) -> None:
        """Make sure that every name in `staged` has its id and every row its partition."""
        for cache in (self.agents, self.referrers):
            if len(cache) > _CACHE_MAX:
                cache.clear()
        self._learn_types(connection, {s.event.event_type for s in staged} - self.types.keys())
        self._learn_agents(connection, {a for s in staged if (a := s.agent)} - self.agents.keys())
        self._learn_referrers(connection, {r for s in staged if (r := s.event.referrer)} - self.referrers.keys())
        self._make_months(connection, staged)

    def _learn_types(self, connection: Connection, names: set[str]) -> None:
        if names:
            known = {name for name, *_ in connection.execute(_SQL["types"])}
            if unknown := names - known:
                connection.execute(_SQL["register_types"], {"types": sorted(unknown)})
            rows = connection.execute(_SQL["types"])
            self.types.update({name: (type_id, category) for name, type_id, category in rows})

    def _learn_agents(self, connection: Connection, names: set[str]) -> None:
        if names:
            known = {row[0] for row in connection.execute(_SQL["user_agents"], {"agents": sorted(names)})}
            if fresh := sorted(names - known):
                verdicts = [classify(name) for name in fresh]
                connection.execute(
                    _SQL["register_user_agents"],
                    {
                        "agents": fresh,
                        "browsers": [v.browser for v in verdicts],
                        "systems": [v.os for v in verdicts],
                        "bots": [v.bot_reason is not None for v in verdicts],
                        "reasons": [v.bot_reason for v in verdicts],
                    },
                )
            rows = connection.execute(_SQL["user_agents"], {"agents": sorted(names)})
            self.agents.update({name: Agent(agent_id, is_bot) for name, agent_id, is_bot in rows})

    def _learn_referrers(self, connection: Connection, names: set[str]) -> None:
        if names:
            connection.execute(_SQL["register_referrers"], {"referrers": sorted(names)})
            self.referrers.update(dict(connection.execute(_SQL["referrers"], {"referrers": sorted(names)}).fetchall()))

    def _make_months(self, connection: Connection, staged: Sequence[Staged]) -> None:
        days = {(self.types[s.event.event_type][1], s.event.occurred_at // (86_400 * MICROSECOND)) for s in staged}
        for category, day in sorted(days):
            on = date(1970, 1, 1) + timedelta(days=day)
            if (category, on.year, on.month) not in self._months:
                connection.execute("SELECT ensure_month(%s::event_category, %s)", (category, on))
                self._months.add((category, on.year, on.month))


def link_visitors(connection: Connection, staged: Sequence[Staged], bots: set[int]) -> dict[int, int]:
    """The user of each event, by its index in `staged`; bots (indices) have none. New visitors get a new user.

    The user at time t is the latest link at or before t, else the earliest.
    """
    visitors = sorted({s.visitor for index, s in enumerate(staged) if index not in bots})
    keys = dict(zip(("sites", "kinds", "keys"), _columns(visitors, 3), strict=True))
    connection.execute(_SQL["link_visitors"], keys)
    links: dict[tuple[str, str, str], tuple[list[int], list[int]]] = {}
    for site_id, kind, value, user_id, valid_from in connection.execute(_SQL["visitor_links"], keys):
        times, users = links.setdefault((site_id, kind, value), ([], []))
        times.append(-(1 << 62) if valid_from is None else valid_from)
        users.append(user_id)
    found = {}
    for index, s in enumerate(staged):
        if index not in bots:
            times, users = links[s.visitor]
            found[index] = users[max(bisect_right(times, s.event.occurred_at) - 1, 0)]
    return found


def rows(
    staged: Sequence[Staged],
    dictionaries: Dictionaries,
    users: Mapping[int, int],
    sessions: Mapping[int, UUID],
) -> Iterator[tuple[Any, ...]]:
    """The rows of `staged` in the order of schema.event.COLUMNS."""
    for index, (event, batch) in enumerate(staged):
        agent = dictionaries.agents.get(staged[index].agent or "")
        own = list(astuple(event))
        own[_TYPE], category = dictionaries.types[event.event_type]
        own[_TIME] = moment(event.occurred_at)
        own[_REFERRER] = dictionaries.referrers.get(event.referrer or "")
        own[_AGENT] = agent.user_agent_id if agent else None
        if event.session_id is None:
            own[_SESSION] = sessions[index]
        shared = (batch.site_id, batch.batch_id, moment(batch.received_at), batch.ip_prefix, batch.country)
        yield (*own, *shared, users.get(index), category, agent is not None and agent.is_bot, None, None)


def moment(microseconds: int) -> datetime:
    """A point in time from microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _columns(rows_: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows_] for i in range(width)]
