"""Alembic's entry point; ``store.migrate`` hands it an open connection."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from segue.annotator import tables  # noqa: F401  (fills SQLModel.metadata)

# Alembic gives the context its configuration when it runs this file; a plain import does nothing.
if getattr(context, "config", None) is not None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
