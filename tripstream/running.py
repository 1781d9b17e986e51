"""How other commands find the servers of a running `tripstream up`.

In: settings. Out: the same with URLs and admin key filled in, from a 0600 file in the state directory. After kill -9
of `up` the file is still there, but nobody holds the lock beside it, and so it is not believed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from schema.errors import ConfigError
from schema.settings import Settings, env_name
from tripstream.state import holder

LOCK = "up"


def connect(settings: Settings, *needed: str) -> Settings:
    """Settings whose unset URLs and admin key are those of the running `tripstream up`.

    Raises ConfigError when one that is `needed` (both URLs unless said) is neither set nor running, or when Redis'
    URL is none.
    """
    found = _read(settings.state) if holder(settings.state, LOCK) is not None else {}
    update: dict[str, object] = {
        name: found[name] for name in ("database_url", "redis_url") if found.get(name) and not getattr(settings, name)
    }
    if found.get("admin_key") and not settings.admin_key.get_secret_value():
        update["admin_key"] = SecretStr(found["admin_key"])
    known = settings.model_copy(update=update)
    missing = [env_name(name) for name in needed or ("database_url", "redis_url") if not getattr(known, name)]
    if missing:
        raise ConfigError(
            f"Tripstream is not running and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: "
            f"run `make up`, or set {' and '.join(missing)}"
        )
    for name in ("redis_url", "stream_redis_url"):
        _check_redis_url(env_name(name), getattr(known, name))
    return known


def announce(settings: Settings) -> None:
    """Write the file; the caller holds the lock."""
    values = {
        "database_url": settings.database_url,
        "redis_url": settings.redis_url,
        "admin_key": settings.admin_key.get_secret_value(),
    }
    fresh = _file(settings.state).with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(values, out)
    fresh.replace(_file(settings.state))


def withdraw(settings: Settings) -> None:
    """Remove it: the servers are about to stop."""
    _file(settings.state).unlink(missing_ok=True)


def _check_redis_url(name: str, url: str) -> None:
    """Raise ConfigError where redis-py could not read it, without a word of it: there may be a password in it."""
    try:
        parts = urlsplit(url)
        _, network = parts.port, parts.scheme in ("redis", "rediss")
        wrong = "@" in url and "@" not in parts.netloc if network else parts.scheme != "unix"
    except ValueError:
        wrong = True
    if url and wrong:
        raise ConfigError(
            f"{name} is no URL like redis://user:password@host:6379/0, rediss://… or unix:///path/to/socket; "
            "in its password @ is written %40, : %3A, / %2F, # %23 and % %25"
        )


def _file(state: Path) -> Path:
    return state / "running.json"


def _read(state: Path) -> dict[str, str]:
    try:
        return dict(json.loads(_file(state).read_bytes()))
    except OSError:  # still starting, or another user's
        return {}
