"""Browser, system and bot of a user agent. In: the header's text. Out: a verdict, kept once per distinct text.

The rules are ua-parser's; its spiders are bots, and so are headless browsers. Command-line clients are not: servers
of the site send events with them.
"""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """`bot_reason` is None for people."""

    browser: str | None
    os: str | None
    bot_reason: str | None


def classify(user_agent: str) -> Verdict:
    """Read one user agent."""
    from ua_parser import parse  # 32 MB of compiled patterns: only a drain that meets a new user agent pays

    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else None
    system = found.os.family if found.os else None
    if found.device and found.device.family == "Spider":
        return Verdict(browser, system, f"spider: {browser or 'unnamed'}")
    if browser and ("headless" in browser.lower() or browser == "PhantomJS"):
        return Verdict(browser, system, f"headless browser: {browser}")
    return Verdict(browser, system, None)
