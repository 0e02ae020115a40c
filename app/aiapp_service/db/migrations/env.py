"""Run by Alembic: migrations go over the connection that `aiapp_service.db.migrate` holds its lock on."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
