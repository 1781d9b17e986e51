"""From names to ids: event types, user agents, texts, months. In: unpacked batches. Out: ids by name.

Dictionaries are filled before the drain's transaction and outlive its rollback: an id without a row does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from schema.asked import Asked
from schema.db import Connection
from schema.event import CATEGORIES, MICROSECOND, Batch, Event
from schema.sql import load
from workers.agents import classify, rules
from workers.fits import Fits
from workers.tombstones import Tombstones

_CACHE_MAX = 50_000
TYPES_MAX = 10_000  # their ids are smallints, and each is a row in every hour: a stranger must not use them up
_UNREGISTERED = "unregistered"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
        if event.auth_user_id is not None:
            return batch.site_id, "auth", event.auth_user_id
        if event.claimed_user is not None:
            return batch.site_id, "claimed", event.claimed_user
        return batch.site_id, "batch", batch.batch_id


class Agent(NamedTuple):
    user_agent_id: int
    is_bot: bool
    device_type: str | None


class Dictionaries:
    """Ids that never change once given, cached for the life of a drain; verdicts on user agents change only while its
    lane is locked by somebody else, after which there is another drain."""

    def __init__(self) -> None:
        self.types: dict[str, tuple[int, str]] = {}
        self.unregistered: set[str] = set()  # names that came when there were too many; in `types` too
        self.agents: dict[str, Agent] = {}
        self.texts: defaultdict[str, dict[str | None, int]] = defaultdict(dict)  # by site
        self.stage_types: dict[str, str] = {}
        self.fits = Fits()
        self.erased = Tombstones()
        self._months: set[tuple[str, int, int]] = set()
        self._request_months: set[tuple[int, int]] = set()

    def learn(self, connection: Connection, staged: Sequence[Staged]) -> None:
        """Make sure that every name in `staged` has its id and every row its partition."""
        if not self.stage_types:
            self.stage_types = dict(connection.execute(_SQL["stage_types"]).fetchall())
        self.fits.refresh(connection)
        if len(self.types) > _CACHE_MAX:
            self.types.clear()
            self.unregistered.clear()
        if len(self.agents) > _CACHE_MAX:
            self.agents.clear()
        if sum(map(len, self.texts.values())) > _CACHE_MAX:
            self.texts.clear()
        wanted: dict[str, str | None] = {}
        for event, batch in staged:
            if event.event_type not in self.types:
                wanted[event.event_type] = wanted.get(event.event_type) or batch.category
        self._learn_types(connection, wanted)
        agents = {agent for event, batch in staged if (agent := event.user_agent or batch.user_agent)}
        self._learn_agents(connection, agents - self.agents.keys())
        self._learn_texts(connection, staged)
        self._make_months(connection, staged)

    def learn_requests(self, connection: Connection, asked: Sequence[Asked]) -> None:
        """The same for requests for recommendations: their user agents and their months."""
        self._learn_agents(connection, {one.user_agent for one in asked if one.user_agent} - self.agents.keys())
        for on in sorted({moment(one.requested_at).date() for one in asked}):
            if (on.year, on.month) not in self._request_months:
                connection.execute("SELECT ensure_request_month(%s)", (on,))
                self._request_months.add((on.year, on.month))

    def device_type(self, event: Event, batch: Batch) -> str | None:
        """What the event's user agent runs on, for an event that does not say it itself."""
        agent = self.agents.get(event.user_agent or batch.user_agent or "")
        return agent.device_type if agent else None

    def is_bot(self, user_agent: str | None) -> bool:
        """Whether that is the user agent of a bot."""
        agent = self.agents.get(user_agent or "")
        return agent is not None and agent.is_bot

    def _learn_types(self, connection: Connection, wanted: Mapping[str, str | None]) -> None:
        """`wanted`: names, each with the category that it is to have if it is new."""
        if wanted:
            known = {name for name, *_ in connection.execute(_SQL["types"])}
            if unknown := sorted(wanted.keys() - known):
                categories = [wanted[name] if wanted[name] in CATEGORIES else "interaction" for name in unknown]
                fresh = {"types": unknown, "categories": categories, "most": TYPES_MAX}
                connection.execute(_SQL["register_types"], fresh)
            rows = connection.execute(_SQL["types"])
            self.types.update({name: (type_id, category) for name, type_id, category in rows})
            self.unregistered.update(wanted.keys() - self.types.keys())
            self.types.update(dict.fromkeys(self.unregistered, self.types[_UNREGISTERED]))

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
                        "devices": [v.device_type for v in verdicts],
                        "reasons": [v.bot_reason for v in verdicts],
                        "rules": rules(),
                    },
                )
            rows = connection.execute(_SQL["user_agents"], {"agents": sorted(names)})
            self.agents.update({name: Agent(*rest) for name, *rest in rows})

    def _learn_texts(self, connection: Connection, staged: Sequence[Staged]) -> None:
        names: set[tuple[str, str]] = set()
        for event, batch in staged:
            known = self.texts[batch.site_id]
            found = (
                event.source,
                split(event.page_url)[0],
                event.path,
                event.referrer,
                event.device_type or self.device_type(event, batch),
                event.screen,
            )
            names.update((batch.site_id, text) for text in found if text and text not in known)
        if names and (fresh := sorted(names - self._ask_texts(connection, names))):
            sites, texts = columns(fresh, 2)  # a conflict uses up an id: each drain's known ones would, for ever
            connection.execute(_SQL["register_texts"], {"sites": sites, "texts": texts})
            self._ask_texts(connection, fresh)

    def _ask_texts(self, connection: Connection, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Remember the ids of those that have one, and return them."""
        sites, texts = columns(list(names), 2)
        rows = connection.execute(_SQL["texts"], {"sites": sites, "texts": texts}).fetchall()
        for site_id, text, text_id in rows:
            self.texts[site_id][text] = text_id
        return {(site_id, text) for site_id, text, _ in rows}

    def forget_months(self) -> None:
        """See again which months are there."""
        self._months.clear()
        self._request_months.clear()

    def _make_months(self, connection: Connection, staged: Sequence[Staged]) -> None:
        days = {(self.types[s.event.event_type][1], s.event.occurred_at // (86_400 * MICROSECOND)) for s in staged}
        for category, day in sorted(days):
            on = moment(day * 86_400 * MICROSECOND).date()
            if (category, on.year, on.month) not in self._months:
                connection.execute("SELECT ensure_month(%s::event_category, %s)", (category, on))
                self._months.add((category, on.year, on.month))


def split(page_url: str | None) -> tuple[str | None, str | None]:
    """A page's address up to its query or fragment, which repeats, and the rest, which seldom does."""
    if page_url is None:
        return None, None
    mark = "?" if "?" in page_url else "#"
    page, mark, rest = page_url.partition(mark)
    return page, mark + rest or None


def moment(microseconds: int) -> datetime:
    """A point in time from microseconds since 1970. Raises DataError, which blames the event, outside of calendars."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise psycopg.DataError("the time lies outside of the years 1 to 9999") from None


def columns(rows_: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as Postgres' unnest wants them."""
    return [[row[i] for row in rows_] for i in range(width)]
