"""Every setting, once: name, default, unit, help. The README's table is generated from this class.

In: environment variables (`TRIPSTREAM_*`, and `DATABASE_URL`, `REDIS_URL`, `STREAM_REDIS_URL` as everyone names
them). Out: one frozen object, passed in as an argument and never read at import time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schema.errors import ConfigError
from schema.local import networks

PREFIX = "TRIPSTREAM_"


def _setting(default: Any, help_text: str, unit: str = "", *, env: str | None = None, **bounds: Any) -> Any:
    alias = AliasChoices(env) if env else None
    return Field(default, description=help_text, json_schema_extra={"unit": unit}, validation_alias=alias, **bounds)


def _default_state() -> Path:
    if os.geteuid() == 0:  # root's own home is 0700, and the servers run as an unprivileged user
        return Path("/var/lib/tripstream")
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/tripstream"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "tripstream"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    database_url: str = _setting("", "Postgres, as its owner. Empty: the embedded server.", env="DATABASE_URL")
    database_read_url: str = _setting(
        "", "A replica of it, which figures are read from. Empty: DATABASE_URL.", env="DATABASE_READ_URL"
    )
    redis_url: str = _setting("", "Redis or Valkey. Empty: the embedded server.", env="REDIS_URL")
    stream_redis_url: str = _setting(
        "", "A Redis of their own for the event streams. Empty: REDIS_URL.", env="STREAM_REDIS_URL"
    )
    state: Path = _setting(
        _default_state(), "Where the embedded servers keep their data. Default: the user state directory."
    )
    host: str = _setting("127.0.0.1", "Address that HTTP listens on.")
    port: int = _setting(8000, "Port that HTTP listens on.", "port", ge=1, le=65535)
    web_processes: int = _setting(
        1,
        "HTTP processes that share the port. Ingest counters in `/metrics` are those of the one that answers.",
        "processes",
        ge=1,
        le=64,
    )
    lanes: int = _setting(2, "Streams, and drain workers, one each.", "lanes", ge=1, le=64)
    admin_key: SecretStr = _setting(
        SecretStr(""),
        "Key for calls that change things. Empty: embedded start makes one in the state directory.",
    )
    jwt_secret: SecretStr = _setting(
        SecretStr(""), "Secret of tokens signed with HS256, at least 32 bytes. Empty: such tokens count for nothing."
    )
    jwt_jwks_url: str = _setting(
        "",
        "Where the keys of tokens signed with ES256 or RS256 are (JWKS, https). Empty: such tokens count for nothing.",
    )
    jwt_issuer: str = _setting("", "The `iss` that tokens must have, like `https://x.supabase.co/auth/v1`.")
    jwt_audience: str = _setting("", "The `aud` that tokens must have, like `authenticated`.")
    jwt_role_claim: str = _setting(
        "role", "The claim that holds a user's role; dots lead inwards, as in `app_metadata.role`."
    )
    demo_occurrences: int = _setting(
        10_000,
        "Departures of the demo catalogue that the first `make up` on the embedded Postgres loads. 0: none.",
        "departures",
        ge=0,
        le=1_000_000,
    )

    batch_events_max: int = _setting(100, "Events in one native batch.", "events", ge=1, le=10_000)
    body_bytes_max: int = _setting(1 << 20, "Body, as sent and once decompressed.", "bytes", ge=1024, le=64 << 20)
    sdk_body_bytes_max: int = _setting(
        8 << 20,
        "The same for the SDKs of Segment, RudderStack, Jitsu and PostHog, whose batches have no limit of events.",
        "bytes",
        ge=1024,
        le=64 << 20,
    )
    body_seconds_max: float = _setting(10.0, "Time a body may take to arrive; headers have the same.", "s", gt=0)
    metadata_depth_max: int = _setting(16, "Nesting of an event's metadata.", "levels", ge=1, le=200)
    metadata_bytes_max: int = _setting(32 << 10, "Metadata of one event, as JSON.", "bytes", ge=256, le=1 << 20)
    inflight_requests_max: int = _setting(
        4096, "Ingest requests being answered at once, per process.", "requests", ge=1
    )
    inflight_requests_per_address_max: int = _setting(
        200,
        "The same for one public network of senders (IPv4 /24, IPv6 /48). 0: no such limit, as it has to be behind a "
        "proxy with a public address that is not trusted: every peer is then the proxy. This machine and private "
        "networks have none.",
        "requests",
        ge=0,
    )
    inflight_bytes_max: int = _setting(
        256 << 20, "What has come of bodies, held in memory at once, per process.", "bytes", ge=1 << 20
    )
    trusted_proxies: str = _setting(
        "",
        "Proxies whose X-Forwarded-For is believed: addresses and networks, separated by commas. A sender is the "
        "rightmost address there that is none of them. Behind a proxy that is not named, all senders are one address.",
    )
    country_header: str = _setting(
        "", "Header in which a trusted proxy says the sender's country (ISO 3166 alpha-2), like CF-IPCountry."
    )
    key_events_per_second_max: int = _setting(
        20_000, "What one key may send, per process; a site may have its own. 0: no limit.", "events/s", ge=0
    )
    key_events_burst_max: int = _setting(
        0, "What one key may send at once, after a pause. 0: ten seconds' worth.", "events", ge=0
    )
    address_events_per_second_max: int = _setting(
        5_000,
        "The same for one address (IPv6: /64) of senders; this machine has no limit. 0: no limit.",
        "events/s",
        ge=0,
    )
    address_events_burst_max: int = _setting(
        0, "What one address may send at once, after a pause. 0: ten seconds' worth.", "events", ge=0
    )
    archive: str = _setting(
        "", "Directory for rows that go at night, as Parquet (with pyarrow). Empty: they are not kept."
    )
    accept_window_days: int = _setting(400, "Events older than this are refused.", "days", ge=1, le=3650)
    clock_skew_seconds_max: int = _setting(
        300, "A sent_at further in the future than this moves the batch's times back.", "s", ge=0
    )
    session_timeout_seconds: int = _setting(1800, "A session ends after this long without an event.", "s", ge=1)
    session_memory_seconds: int = _setting(
        86_400, "A lapsed session id is still known as lapsed for this long.", "s", ge=1
    )
    live_sessions_max: int = _setting(
        200_000,
        "Sessions of one site that `/api/session/start` remembers; of more the oldest are forgotten first.",
        "sessions",
        ge=1000,
    )

    live_listeners_max: int = _setting(
        1000, "Streams of live figures (`/api/live`) at once, per process; more are answered 503.", "streams", ge=1
    )

    redis_seconds_max: float = _setting(2.0, "Redis call at accept; past it the answer is 503.", "s", gt=0)
    redis_share_max: float = _setting(
        0.65, "Share of maxmemory above which ingestion answers 503.", "share", gt=0, le=0.95
    )
    redis_bytes: int = _setting(512 << 20, "maxmemory of the embedded Valkey.", "bytes", ge=16 << 20)
    drain_entries_max: int = _setting(5000, "Stream entries read at once.", "entries", ge=1, le=10_000)
    drain_events_max: int = _setting(10_000, "Events stored in one transaction.", "events", ge=1, le=100_000)
    drain_seconds_max: int = _setting(45, "Life of one drain job.", "s", ge=1, le=3600)
    dedupe_window_days: int = _setting(400, "How long an event_id is remembered.", "days", ge=1, le=3650)
    backlog_alarm_seconds: int = _setting(60, "Oldest queued batch older than this raises an alarm.", "s", ge=1)
    read_connections_max: int = _setting(
        8, "Connections for reading figures, per process and server.", "connections", ge=1, le=1000
    )
    replica_seconds_max: int = _setting(
        30, "Figures of a replica that is further behind are refused with 503.", "s", ge=1, le=86_400
    )
    process_events_seconds_max: int = _setting(30, "How long POST /process-events drains before it answers.", "s", ge=1)

    @field_validator("trusted_proxies")
    @classmethod
    def _names_networks(cls, said: str) -> str:
        networks(said)
        return said

    @model_validator(mode="after")
    def _windows_agree(self) -> Settings:
        if self.dedupe_window_days < self.accept_window_days:
            raise ValueError(
                "TRIPSTREAM_DEDUPE_WINDOW_DAYS must be at least TRIPSTREAM_ACCEPT_WINDOW_DAYS, "
                "or an old event could be stored twice"
            )
        return self

    @model_validator(mode="after")
    def _tokens_can_be_verified(self) -> Settings:
        secret = self.jwt_secret.get_secret_value()
        missing = [env_name(name) for name in ("jwt_issuer", "jwt_audience") if not getattr(self, name)]
        if (secret or self.jwt_jwks_url) and missing:
            set_one = env_name("jwt_secret" if secret else "jwt_jwks_url")
            raise ValueError(f"{set_one} is set, so {' and '.join(missing)} must be: a token is good for one of each")
        if secret and len(secret.encode()) < 32:
            raise ValueError("TRIPSTREAM_JWT_SECRET must have at least 32 bytes: shorter ones can be guessed")
        url = urlsplit(self.jwt_jwks_url)
        if self.jwt_jwks_url and not (url.hostname and (url.scheme == "https" or _is_loopback_http(url))):
            raise ValueError("TRIPSTREAM_JWT_JWKS_URL must begin with https://: whoever can change the keys is anybody")
        return self

    @property
    def streams_url(self) -> str:
        """Where the event streams live."""
        return self.stream_redis_url or self.redis_url


def _is_loopback_http(url: SplitResult) -> bool:
    return url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment; keyword arguments win.

    Raises ConfigError, one line a wrong setting, naming its environment variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        said = [(e["loc"], e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        lines = [f"{env_name(str(where[0]))}: {what}" if where else what for where, what in said]
        raise ConfigError("; ".join(lines)) from None


def env_name(field: str) -> str:
    """The environment variable that sets `field`."""
    known = Settings.model_fields.get(field)
    alias = known.validation_alias if known else None
    return (
        str(alias.choices[0])
        if isinstance(alias, AliasChoices)
        else f"{PREFIX}{field.upper()}".replace(PREFIX * 2, PREFIX)
    )


def table() -> str:
    """The settings as a Markdown table, for the README."""
    rows = ["| setting | default | unit | what it does |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        raw = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        default = "" if name == "state" else str(raw)
        rows.append(f"| `{env_name(name)}` | {default} | {extra.get('unit', '')} | {field.description} |")
    return "\n".join(rows)
