"""Migrations: numbered SQL files, applied by Alembic (`schema/migrate.py`)."""
