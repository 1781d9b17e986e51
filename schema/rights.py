"""Who may read figures, and who may change things. In: a request's headers and its peer, and whom its token was found
to be of. Out: a site, or a person's pages of it; or Unauthorized, Forbidden.

Postgres is asked each time, never a replica: a key that was revoked a second ago reads nothing. A key that reads
decides alone, whatever token comes beside it. A token without one, or beside a write key, reads its owner's pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import HTTPConnection

from schema import db, owners, sites
from schema.db import Scope
from schema.errors import Forbidden, InvalidRequest, NotFound, Unauthorized
from schema.event import Verified
from schema.local import asks_here
from schema.settings import Settings

LOCAL_SITE = "default"
_NO_KEY = "This needs a read key: send it as Authorization: Bearer KEY, or as x-read-key."
_NOTHING_OWNED = "Who is signed in owns no pages here: `tripstream site owner add SITE CODE USER` says whose they are."
_WHOLE_SITE = "These are figures of a whole site, for its read key: owners read those of their own pages."
# Where the web process puts what a request's token says of itself, or why it says nothing.
VERIFIED, UNVERIFIED = "tripstream.verified", "tripstream.unverified"
_NO_ADMIN = "This needs the admin key: send it as Authorization: Bearer KEY (TRIPSTREAM_ADMIN_KEY, or a site's)."


def readable_site(settings: Settings, headers: Mapping[str, str], host: str | None, http_version: str = "1.1") -> str:
    """The site whose figures a request may see: its read or admin key's; the one that x-site-id names, or the default
    one, with the installation's key; the default one for this machine without a key, asked for by a loopback name.
    Raises Unauthorized, or Forbidden for a key that only writes."""
    if (key := key_in(headers)) is None:
        if not asks_here(headers, host, http_version):
            raise Unauthorized(_NO_KEY)
        return LOCAL_SITE
    if is_installations(settings, key):
        return headers.get("x-site-id") or LOCAL_SITE
    right = _right(settings, key)
    if right.role == "write":
        raise Forbidden("A write key can read nothing: `tripstream site key SITE` makes a read key.")
    return right.site_id


def site_of(settings: Settings, request: HTTPConnection) -> str:
    """The same, of a request."""
    host = request.client.host if request.client else None
    return readable_site(settings, request.headers, host, request.scope.get("http_version", ""))


def scope_of(settings: Settings, request: HTTPConnection) -> Scope:
    """Whose figures a request may see: its read key's site, or in a site what its token's person owns. A token's site
    is its write key's, else the one that is named (site_id, or the header x-site-id), else the only one there is.
    Raises Unauthorized, Forbidden, NotFound, and InvalidRequest where a site has to be named."""
    key = key_in(request.headers)
    if is_installations(settings, key):
        return Scope(site_of(settings, request))
    if (person := _person(request)) is None and (key is not None or UNVERIFIED not in request.scope):
        return Scope(site_of(settings, request))
    if person is None:
        raise request.scope[UNVERIFIED]
    right = None if key is None else _right(settings, key)
    if right is not None and right.role != "write":
        return Scope(right.site_id)
    return Scope(_owned_site(settings, request, person.user_id, right), person.user_id)


def whole_site_of(settings: Settings, request: HTTPConnection) -> Scope:
    """The same for figures that belong to no single owner. Raises Forbidden for one."""
    if (scope := scope_of(settings, request)).auth_user_id is not None:
        raise Forbidden(_WHOLE_SITE)
    return scope


def sites_of(settings: Settings, request: HTTPConnection) -> str | None:
    """The same site; None, which is every site, with the installation's key. A site's admin key sees its own site."""
    return None if is_installations(settings, key_in(request.headers)) else whole_site_of(settings, request).site_id


def require_admin(settings: Settings, headers: Mapping[str, str]) -> None:
    """Let the installation's key in, or an admin key of any site: only where it does not matter whose it is, as for
    draining sooner. Raises Unauthorized, or Forbidden for another key."""
    if (key := key_in(headers)) is None:
        raise Unauthorized(_NO_ADMIN)
    if is_installations(settings, key):
        return
    try:
        right = _right(settings, key)
    except Unauthorized:
        raise Unauthorized(_NO_ADMIN) from None
    if right.role != "admin":
        raise Forbidden(f"A {right.role} key changes nothing: `tripstream site key SITE --role admin` makes one.")


def changed_sites(settings: Settings, headers: Mapping[str, str]) -> str | None:
    """The site that a request may change: its admin key's; None, which is every site, with the installation's key.
    Raises Unauthorized, or Forbidden for another key."""
    require_admin(settings, headers)
    key = key_in(headers)
    return None if key is None or is_installations(settings, key) else _right(settings, key).site_id


def changed_site(settings: Settings, headers: Mapping[str, str], wanted: str | None) -> str:
    """The one site of them that is meant: where every site could be, the default one unless another is named."""
    own = changed_sites(settings, headers)
    if own is not None and wanted not in (None, own):
        raise Forbidden(f"This key changes site {own} only.")
    return own or wanted or LOCAL_SITE


def key_in(headers: Mapping[str, str]) -> str | None:
    """The key as it was sent. A bearer of a verified identity (a JWT) is no key, and may come beside one."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and not value.strip().startswith("eyJ"):
        return value.strip()
    return headers.get("x-read-key") or headers.get("apikey")


def is_installations(settings: Settings, key: str | None) -> bool:
    """Whether it is the key of everything here, which TRIPSTREAM_ADMIN_KEY sets."""
    expected = settings.admin_key.get_secret_value()
    return key is not None and expected != "" and secrets.compare_digest(key.encode(), expected.encode())


def _person(request: HTTPConnection) -> Verified | None:
    found: Verified | None = request.scope.get(VERIFIED)
    return found


def _owned_site(settings: Settings, request: HTTPConnection, user_id: str, right: sites.Right | None) -> str:
    """Which site's pages of that person are meant."""
    with db.wrapped(), db.asking(settings) as connection:
        owned = owners.owned_sites(connection, user_id)
    if not owned:
        raise Forbidden(_NOTHING_OWNED)
    named = right.site_id if right else request.query_params.get("site_id") or request.headers.get("x-site-id")
    if named is None and len(owned) > 1:
        raise InvalidRequest(fields=[("site_id", f"you own pages in {', '.join(owned)}: name one")])
    if named not in (None, *owned):
        raise NotFound(f"You own no pages in a site {named}." if right is None else _NOTHING_OWNED)
    return named or owned[0]


def _right(settings: Settings, key: str) -> sites.Right:
    with db.wrapped(), db.asking(settings) as connection:
        right = sites.right(connection, key)
    if right is None:
        raise Unauthorized("There is no such key, or it has ended.")
    return right
