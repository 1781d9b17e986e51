"""Settings: one line per mistake, naming the variable to change; the README's table comes from here."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from schema import settings as config
from schema.errors import ConfigError
from schema.settings import Settings

UNITS = {
    "_seconds": "s", "_seconds_max": "s", "_bytes": "bytes", "_bytes_max": "bytes", "_days": "days",
    "_events_max": "events", "_entries_max": "entries", "_requests_max": "requests", "_share_max": "share",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("TRIPSTREAM_PORT", "eighty", "valid integer"),
        ("TRIPSTREAM_PORT", "70000", "less than or equal to 65535"),
        ("TRIPSTREAM_LANES", "0", "greater than or equal to 1"),
        ("TRIPSTREAM_REDIS_SHARE_MAX", "0.96", "less than or equal to 0.95"),
        ("TRIPSTREAM_BODY_SECONDS_MAX", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert caught.value.message.startswith(f"{name}: ")
    assert what in caught.value.message
    assert "\n" not in caught.value.message
    assert "pydantic" not in caught.value.message


def test_each_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPSTREAM_PORT", "x")
    monkeypatch.setenv("TRIPSTREAM_LANES", "x")
    with pytest.raises(ConfigError, match=r"^TRIPSTREAM_PORT: [^;]*; TRIPSTREAM_LANES: [^;]*$"):
        config.load()


def test_a_secret_is_in_no_message_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPSTREAM_ADMIN_KEY", "hunter2")
    assert "hunter2" not in repr(config.load()) + str(config.load())
    monkeypatch.setenv("TRIPSTREAM_LANES", "hunter2")
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert "hunter2" not in caught.value.message


def test_a_dedupe_window_shorter_than_the_accept_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPSTREAM_DEDUPE_WINDOW_DAYS", "399")
    with pytest.raises(ConfigError, match=r"^TRIPSTREAM_DEDUPE_WINDOW_DAYS must be at least TRIPSTREAM_ACCEPT"):
        config.load()
    monkeypatch.setenv("TRIPSTREAM_ACCEPT_WINDOW_DAYS", "399")
    assert config.load().dedupe_window_days == 399


def test_the_usual_names_and_ours_are_read_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a")
    monkeypatch.setenv("REDIS_URL", "redis://b")
    monkeypatch.setenv("TRIPSTREAM_LANES", "3")
    found = config.load()
    assert (found.database_url, found.redis_url, found.lanes) == ("postgresql://a", "redis://b", 3)
    assert config.load(lanes=4).lanes == 4


def test_streams_live_in_redis_unless_they_have_one_of_their_own() -> None:
    assert Settings(redis_url="redis://a").streams_url == "redis://a"
    assert Settings(redis_url="redis://a", stream_redis_url="redis://b").streams_url == "redis://b"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().lanes = 5


def test_state_is_the_users_own_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(config.sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert config._default_state() == Path("/x/tripstream")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    assert config._default_state() == Path.home() / ".local/state/tripstream"
    monkeypatch.setattr(config.sys, "platform", "darwin")
    assert config._default_state() == Path.home() / "Library/Application Support/tripstream"


def test_every_setting_has_help_a_default_and_its_unit_in_its_name() -> None:
    for name, field in Settings.model_fields.items():
        unit = (field.json_schema_extra or {})["unit"]
        assert not field.is_required(), name
        assert field.description and field.description.endswith("."), name
        for ending, expected in UNITS.items():
            if name.endswith(ending):
                assert unit == expected, name
        if unit in ("s", "bytes", "days", "share"):
            assert any(name.endswith(ending) for ending, expected in UNITS.items() if expected == unit), name


def test_the_table_has_a_row_for_each_and_no_secret_or_path_of_this_machine() -> None:
    rows = config.table().splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == [config.env_name(name) for name in Settings.model_fields]
    assert {row.count(" | ") for row in rows[:1] + rows[2:]} == {3}
    assert str(Settings().state) not in config.table()
    assert str(SecretStr("x")) not in config.table()
