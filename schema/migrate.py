"""Brings the database to this version's schema. In: DATABASE_URL, as owner. Out: tables, roles, version.

Runs in one transaction under an advisory lock: killed half-way it leaves what was there, and of two that start
together one waits and then finds nothing to do. Alembic and SQLAlchemy are imported here and nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from schema import db
from schema.errors import StorageError
from schema.settings import Settings

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Apply every migration up to `revision`, and put roles and grants right, which a restored database lacks.

    Raises StorageError when Postgres says no.
    """
    from alembic import command  # half a second and 40 MB: only migrations pay for it
    from sqlalchemy.exc import DBAPIError

    try:
        with _engine(settings).begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('tripstream.migrate'))")
            command.upgrade(_config(connection), revision)
            connection.exec_driver_sql((_SCRIPTS / "grants.sql").read_text().replace("%", "%%"))
    except DBAPIError as error:
        raise StorageError(f"migration failed: {db.first_line(error.orig)}") from error


def head() -> str:
    """The newest revision this code knows, from the file names: readiness asks often and must not load Alembic."""
    return max(path.name.split("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _engine(settings: Settings) -> Any:
    from sqlalchemy import NullPool, create_engine

    url = db.checked_url(settings)  # for libpq, which also reads what SQLAlchemy does not, and quotes less of it
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)


def _config(connection: Any) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
