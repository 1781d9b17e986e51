"""Sec-GPC and DNT: a browser says that its user does not want to be followed. In: a request's headers and its site's
rule. Out: whether the site heeds it.

Honoured means: no event of such a request is kept, not even queued, and trips are recommended without a word of who
asked. Ids are not merely left out: every page would then be a visitor and a session of its own, and the site's figures
would say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from schema.registry import SiteRule

CODE = "opted_out"
MESSAGE = "This browser asks not to be followed (Sec-GPC or DNT), and the site honours it: nothing was kept."


def opted_out(headers: Mapping[bytes, bytes], rule: SiteRule) -> bool:
    """Whether this request's events must not be kept."""
    return rule.signals == "honour" and (headers.get(b"sec-gpc") == b"1" or headers.get(b"dnt") == b"1")
