"""Run by Alembic; the connection is given by `storage.schema` and nothing is read from files."""

from alembic import context

from aula_accounting.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
