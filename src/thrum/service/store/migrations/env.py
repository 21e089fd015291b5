"""What alembic runs: the migrations, on the connection that `thrum.service.store.database` hands over."""

from alembic import context

from thrum.service.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
