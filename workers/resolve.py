"""From names to ids: event types, user agents, referrers, visitors, months. In: unpacked batches. Out: ids by name.

Dictionaries are filled before the drain's transaction and outlive its rollback: an id without a row does no harm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from schema.db import Connection
from schema.event import MICROSECOND, Batch, Event
from schema.sql import load
from workers.agents import classify

_CACHE_MAX = 50_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = -(1 << 62)
_SQL = load("drain")


Visitor = tuple[str, str, UUID | str]


class Staged(NamedTuple):
    """One event on its way into a row, with the batch it came in."""

    event: Event
    batch: Batch

    @property
    def agent(self) -> str | None:
        """The event's own user agent, else its request's."""
        return self.event.user_agent or self.batch.user_agent

    @property
    def visitor(self) -> Visitor:
        """Site, kind and value of the identity that stands for the visitor."""
        event, batch = self
        if event.anonymous_id is not None:
            return batch.site_id, "anonymous", event.anonymous_id
        if event.claimed_user is not None:
            return batch.site_id, "claimed", event.claimed_user
        return batch.site_id, "batch", batch.batch_id


class Agent(NamedTuple):
    user_agent_id: int
    is_bot: bool


class Dictionaries:
    """Ids that never change once given, cached for the life of a drain."""

    def __init__(self) -> None:
        self.types: dict[str, tuple[int, str]] = {}
        self.agents: dict[str, Agent] = {}
        self.referrers: dict[str, int] = {}
        self.stage_types: dict[str, str] = {}
        self._months: set[tuple[str, int, int]] = set()

    def learn(self, connection: Connection, staged: Sequence[Staged]) -> None:
        """Make sure that every name in `staged` has its id and every row its partition."""
        if not self.stage_types:
            self.stage_types = dict(connection.execute(_SQL["stage_types"]).fetchall())
        for cache in (self.agents, self.referrers):
            if len(cache) > _CACHE_MAX:
                cache.clear()
        self._learn_types(connection, {s.event.event_type for s in staged} - self.types.keys())
        agents = {agent for event, batch in staged if (agent := event.user_agent or batch.user_agent)}
        self._learn_agents(connection, agents - self.agents.keys())
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
            known = {row[0] for row in connection.execute(_SQL["referrers"], {"referrers": sorted(names)})}
            if fresh := sorted(names - known):  # a conflict uses up an id: each drain's known ones would, for ever
                connection.execute(_SQL["register_referrers"], {"referrers": fresh})
            self.referrers.update(dict(connection.execute(_SQL["referrers"], {"referrers": sorted(names)}).fetchall()))

    def _make_months(self, connection: Connection, staged: Sequence[Staged]) -> None:
        days = {(self.types[s.event.event_type][1], s.event.occurred_at // (86_400 * MICROSECOND)) for s in staged}
        for category, day in sorted(days):
            on = moment(day * 86_400 * MICROSECOND).date()
            if (category, on.year, on.month) not in self._months:
                connection.execute("SELECT ensure_month(%s::event_category, %s)", (category, on))
                self._months.add((category, on.year, on.month))


def link_visitors(connection: Connection, staged: Sequence[Staged], bots: set[int]) -> dict[int, int]:
    """The user of each event, by its index in `staged`; bots (indices) have none. New visitors get a new user.

    The user at time t is the latest link at or before t, else the earliest.
    """
    of = {index: s.visitor for index, s in enumerate(staged) if index not in bots}
    visitors = {(visitor[0], visitor[1], str(visitor[2])): visitor for visitor in set(of.values())}
    keys = dict(zip(("sites", "kinds", "keys"), _columns(sorted(visitors), 3), strict=True))
    connection.execute(_SQL["link_visitors"], keys)
    links: dict[Visitor, tuple[list[int], list[int]]] = {}
    for site_id, kind, value, user_id, valid_from in connection.execute(_SQL["visitor_links"], keys):
        times, users = links.setdefault(visitors[site_id, kind, value], ([], []))
        times.append(_ALWAYS if valid_from is None else valid_from)
        users.append(user_id)
    found = {}
    for index, visitor in of.items():
        times, users = links[visitor]
        at = 0 if len(users) == 1 else max(bisect_right(times, staged[index].event.occurred_at) - 1, 0)
        found[index] = users[at]
    return found


def moment(microseconds: int) -> datetime:
    """A point in time from microseconds since 1970. Raises DataError, which blames the event, outside of calendars."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise psycopg.DataError("the time lies outside of the years 1 to 9999") from None


def _columns(rows_: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[i] for row in rows_] for i in range(width)]
