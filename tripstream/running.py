"""How other commands find the servers of a running `tripstream up`.

In: settings. Out: the same with URLs and admin key filled in, from a 0600 file in the state directory. After kill -9
of `up` the file is still there, but nobody holds the lock beside it, and so it is not believed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from pydantic import SecretStr

from schema.errors import ConfigError
from schema.settings import Settings, env_name
from tripstream.state import holder

LOCK = "up"


def connect(settings: Settings, *needed: str) -> Settings:
    """Settings whose unset URLs and admin key are those of the running `tripstream up`.

    Raises ConfigError when one that is `needed` (both URLs unless said) is neither set nor running.
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


def _file(state: Path) -> Path:
    return state / "running.json"


def _read(state: Path) -> dict[str, str]:
    try:
        return dict(json.loads(_file(state).read_bytes()))
    except OSError:  # still starting, or another user's
        return {}
