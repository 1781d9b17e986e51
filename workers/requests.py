"""Answered requests for recommendations on their way into rows. In: unpacked entries. Out: rows, and marks of the days
that they change.

Each step belongs to the drain's transaction, or, like dictionaries, goes before it and outlives its rollback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict

from schema.asked import Asked
from schema.db import Connection
from schema.sql import load
from workers.resolve import Dictionaries, moment

_SQL = load("requests")
_PLAIN = (
    *("request_id", "site_id", "session_id", "anonymous_id", "preferences", "search_type", "policy_id"),
    *("policy_version", "primary_count", "relaxed_count", "total_candidates", "response_time_us"),
)


def store(connection: Connection, asked: Sequence[Asked], dictionaries: Dictionaries) -> None:
    """Rows and dirty marks of requests whose receipts are new."""
    if asked:
        columns = _columns(asked, dictionaries)
        connection.execute(_SQL["store_requests"], columns)
        connection.execute(_SQL["mark_asked"], {name: columns[name] for name in ("site_id", "requested_at")})


def _columns(asked: Sequence[Asked], dictionaries: Dictionaries) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in asked] for name in _PLAIN}
    agents = [dictionaries.agents.get(one.user_agent or "") for one in asked]
    scores = [[shown.score for shown in one.results] for one in asked]
    return columns | {
        "requested_at": [moment(one.requested_at) for one in asked],
        "filters": [_json(one.filters) for one in asked],
        "results": [_json([asdict(shown) for shown in one.results]) for one in asked],
        "top_score": [max(found, default=None) for found in scores],
        "mean_score": [sum(found) / len(found) if found else None for found in scores],
        "min_score": [min(found, default=None) for found in scores],
        "user_agent_id": [agent.user_agent_id if agent else None for agent in agents],
        "is_bot": [agent is not None and agent.is_bot for agent in agents],
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
