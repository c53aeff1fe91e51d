"""A reviewer's verdict on an image, and comments pinned to places."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add image.review and the table comment."""
    op.add_column("image", sa.Column("review", sa.String, nullable=False, server_default=""))
    op.create_table(
        "comment",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("object_id", sa.String),
        sa.Column("x", sa.Float),
        sa.Column("y", sa.Float),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    op.create_index("ix_comment_image_id", "comment", ["image_id"])
