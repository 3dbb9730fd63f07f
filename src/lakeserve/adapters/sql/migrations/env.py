"""Run by Alembic to connect: it takes the connection, and the transaction, that the caller has open."""

from __future__ import annotations

from alembic import context

from lakeserve.adapters.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table; in batch mode Alembic copies it instead.
    render_as_batch=True,
    # Alembic doubts it for SQLite because drivers used to commit behind one's back. Ours begins no transactions itself.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
