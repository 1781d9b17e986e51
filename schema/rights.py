"""Who may read figures, and who may change things. In: a request's headers and its peer. Out: a site, or Unauthorized,
Forbidden.

Postgres is asked each time: a key that was revoked a second ago reads nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.requests import HTTPConnection

from schema import db, sites
from schema.db import Scope
from schema.errors import Forbidden, Unauthorized
from schema.local import is_local, names_this_machine
from schema.settings import Settings

LOCAL_SITE = "default"
_NO_KEY = "This needs a read key: send it as Authorization: Bearer KEY, or as x-read-key."
_NO_ADMIN = "This needs the admin key: send it as Authorization: Bearer KEY (TRIPSTREAM_ADMIN_KEY, or a site's)."


def readable_site(settings: Settings, headers: Mapping[str, str], host: str | None, http_version: str = "1.1") -> str:
    """The site whose figures a request may see: its read or admin key's, or, for this machine without a key and asked
    for by a loopback name, the default one. Raises Unauthorized, or Forbidden for a key that only writes."""
    if (key := key_in(headers)) is None:
        names = {name.encode("latin-1") for name in headers}
        if host is None or not names_this_machine(headers.get("host", "")) or not is_local(host, names, http_version):
            raise Unauthorized(_NO_KEY)
        return LOCAL_SITE
    right = _right(settings, key)
    if right.role == "write":
        raise Forbidden("A write key can read nothing: `tripstream site key SITE` makes a read key.")
    return right.site_id


def site_of(settings: Settings, request: HTTPConnection) -> str:
    """The same, of a request."""
    host = request.client.host if request.client else None
    return readable_site(settings, request.headers, host, request.scope.get("http_version", ""))


def scope_of(settings: Settings, request: HTTPConnection) -> Scope:
    """Whose figures a request may see: its key's site."""
    return Scope(site_of(settings, request))


def sites_of(settings: Settings, request: HTTPConnection) -> str | None:
    """The same; None, which is every site, with the installation's key. A site's admin key sees its own site."""
    return None if _is_installations(settings, key_in(request.headers)) else site_of(settings, request)


def require_admin(settings: Settings, headers: Mapping[str, str]) -> None:
    """Let the installation's key in, or an admin key of any site: only where it does not matter whose it is, as for
    draining sooner. Raises Unauthorized, or Forbidden for another key."""
    if (key := key_in(headers)) is None:
        raise Unauthorized(_NO_ADMIN)
    if _is_installations(settings, key):
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
    return None if key is None or _is_installations(settings, key) else _right(settings, key).site_id


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


def _is_installations(settings: Settings, key: str | None) -> bool:
    expected = settings.admin_key.get_secret_value()
    return key is not None and expected != "" and secrets.compare_digest(key.encode(), expected.encode())


def _right(settings: Settings, key: str) -> sites.Right:
    with db.wrapped(), db.connect(settings) as connection:  # the reader role sees no keys
        right = sites.right(connection, key)
    if right is None:
        raise Unauthorized("There is no such key, or it has ended.")
    return right
