"""What a dialect is told besides the body. In: what differs from an open, lenient site. Out: a Context at T0."""

from __future__ import annotations

from typing import Any

from ingest.rules import Context
from schema.registry import Registry, SiteRule
from schema.settings import Settings
from tests import make

REGISTRY = Registry(
    sites={}, keys={}, event_types=frozenset({"page_view", "trip_dwell"}), sources=frozenset({"homepage"})
)


def context(*, strict: bool = False, received_at: int = make.T0, site_id: str = "default", **settings: Any) -> Context:
    rule = SiteRule(origins=["*"], open_to="everyone", strict=strict)
    return Context(site_id, rule, REGISTRY, Settings(**settings), received_at)
