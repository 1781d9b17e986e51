"""Browser, system, device and bot of a user agent. In: the header's text. Out: a verdict, kept once per distinct text.

Two kept lists judge: ua-parser names browser, system and device and knows spiders by their form; crawler-user-agents
names crawlers one by one, of which ua-parser alone missed 37 in a hundred, and none of 839 browsers' agents in use
(2026-11). HTTP libraries are no bots: servers of the site send visitors' events with them. They say nothing about the
visitor either, so they are given no browser.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from schema.db import Connection
from schema.sql import load

if TYPE_CHECKING:
    from ua_parser import Result
    from ua_parser.regex import Resolver

_SQL = load("agents")
_LIBRARY = "http-library"
_REVISION = 1  # of what this file makes of the lists: raised where a verdict changes
# Programs of senders that one of the lists takes for crawlers: such have no browser to send events with.
_SENDERS = re.compile(r"java/|python-urllib|wordpress/|winhttp|google-http-java-client", re.IGNORECASE)
_PHONES = {"iOS", "Android", "Windows Phone", "KaiOS", "BlackBerry OS", "Symbian OS", "Firefox OS", "HarmonyOS"}
_DESKTOPS = {"Windows", "Mac OS X", "Chrome OS", "Linux", "Ubuntu", "Debian", "Fedora", "FreeBSD", "OpenBSD", "NetBSD"}
_TABLETS = {"iPad", "Kindle", "Kindle Fire", "Generic Tablet"}


class Verdict(NamedTuple):
    """`bot_reason` is None for people; `device_type` is mobile, tablet, desktop or None (televisions, consoles)."""

    browser: str | None = None
    os: str | None = None
    device_type: str | None = None
    bot_reason: str | None = None


@cache
def rules() -> str:
    """The version of what judges. A row with another one was judged otherwise, perhaps."""
    lists = [f"{name} {version(name)}" for name in ("ua-parser-builtins", "crawler-user-agents")]
    return ", ".join([*lists, f"tripstream {_REVISION}"])


def outdated(connection: Connection) -> int:
    """How many user agents were judged by other rules than the present ones."""
    row = connection.execute(_SQL["count_outdated"], {"rules": rules()}).fetchone()
    return int(row[0]) if row else 0


def classify(user_agent: str) -> Verdict:
    """Read one user agent."""
    from ua_parser import parse  # 27 MB of compiled patterns: only a drain that meets a new user agent pays

    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else None
    kind, name = _crawler(user_agent)
    is_spider = found.device is not None and found.device.family == "Spider"
    if _SENDERS.match(user_agent) or (kind == _LIBRARY and not is_spider):
        return Verdict()
    reason = None
    if kind and kind != _LIBRARY:
        reason = f"{kind}: {browser if is_spider and browser else name}"
    elif is_spider:
        reason = f"spider: {browser or 'unnamed'}"
    elif browser and "headless" in browser.lower():
        reason = f"headless browser: {browser}"
    return Verdict(browser, found.os.family if found.os else None, _device_type(found, user_agent), reason)


def _device_type(found: Result, user_agent: str) -> str | None:
    """What a browser runs on. Android's say Mobile on phones and not on tablets; Safari on an iPad says Mac."""
    system, device = found.os and found.os.family, found.device
    if found.user_agent is None or system is None:
        return None
    family = device.family if device else None
    if family in _TABLETS or (device and device.brand == "Generic_Android_Tablet"):
        return "tablet"
    if system == "Android" and user_agent.startswith("Mozilla/") and "Mobile" not in user_agent:
        return "tablet"
    if system in _PHONES and family != "Spider":
        return "mobile"
    return "desktop" if system in _DESKTOPS and family in (None, "Mac") else None


def _crawler(user_agent: str) -> tuple[str | None, str]:
    """Kind and name of the first crawler of the list that a user agent speaks of; libraries come last."""
    from ua_parser import Domain  # see classify

    found = _crawlers()(user_agent, Domain.USER_AGENT).user_agent
    return (found.major, found.family.strip("/ ")) if found else (None, "")


@cache
def _crawlers() -> Resolver:
    """The list, searched by ua-parser's engine: by Python's a user agent made to be slow took 9 µs a character."""
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # with the patterns 17 MB, for those who classify
    from ua_parser.matchers import UserAgentMatcher
    from ua_parser.regex import Resolver

    kinds = [(next(iter(crawler["tags"]), "crawler"), crawler["pattern"]) for crawler in CRAWLER_USER_AGENTS_DATA]
    kinds.sort(key=lambda one: one[0] == _LIBRARY)
    return Resolver(([UserAgentMatcher(f"({pattern})", None, kind) for kind, pattern in kinds], [], []))
