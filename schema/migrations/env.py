"""Alembic's entry point. In: an open SQLAlchemy connection from schema/migrate.py. Out: the migrated schema.

All pending versions run in one transaction: a migration that is killed leaves the schema as it was.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, version_table="schema_version")
with context.begin_transaction():
    context.run_migrations()
