"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "image",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("present", sa.Boolean, nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("objects", sa.Integer, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("undo_head", sa.Integer),
        sa.Column("redo_head", sa.Integer),
        sa.Column("holder", sa.String),
        sa.Column("holder_name", sa.String),
        sa.Column("held_until", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_image_path", "image", ["path"], unique=True)
    op.create_index("ix_image_state", "image", ["state"])
    op.create_table(
        "label",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("colour", sa.String, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "mask",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("x0", "y0", "x1", "y1", "area")),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    _create_work()
    op.create_table("setting", sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.JSON))
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("label_id", sa.Integer, sa.ForeignKey("label.id")),
        sa.Column("mask_id", sa.Integer, sa.ForeignKey("mask.id"), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_finding_image_id", "finding", ["image_id"])
    op.create_index("ix_finding_state", "finding", ["state"])


def _create_work() -> None:
    op.create_table(
        "item",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("label_id", sa.Integer, sa.ForeignKey("label.id")),
        sa.Column("rank", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("locked", "hidden", "deleted")),
        sa.Column("mask_id", sa.Integer, sa.ForeignKey("mask.id")),
        sa.Column("base_id", sa.Integer, sa.ForeignKey("mask.id")),
        sa.Column("prompts", sa.JSON, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("clicks", sa.Integer, nullable=False),
        sa.Column("strokes", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("ix_item_image_id", "item", ["image_id"])
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("image.id")),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("action", sa.JSON, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        *(sa.Column(name, sa.Integer) for name in ("parent", "of", "next_redo")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_journal_key", "journal", ["key"], unique=True)
    op.create_index("ix_journal_image_id", "journal", ["image_id"])
