"""Clips: images of many frames, key frames of their objects, and what was propagated from those."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add image.frames, image.axis and the tables frame_mask, run and run_mask."""
    op.add_column("image", sa.Column("frames", sa.Integer, nullable=False, server_default="0"))
    op.add_column("image", sa.Column("axis", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "frame_mask",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("object_id", sa.String, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("frame", sa.Integer, nullable=False),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("mask_id", sa.Integer, sa.ForeignKey("mask.id")),
        sa.Column("base_id", sa.Integer, sa.ForeignKey("mask.id")),
        sa.Column("prompts", sa.JSON, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    op.create_index("ix_frame_mask_object_id", "frame_mask", ["object_id"])
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("image.id"), nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_image_id", "run", ["image_id"])
    op.create_table(
        "run_mask",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id"), nullable=False),
        sa.Column("object_id", sa.String, sa.ForeignKey("item.id"), nullable=False),
        sa.Column("frame", sa.Integer, nullable=False),
        sa.Column("mask_id", sa.Integer, sa.ForeignKey("mask.id")),
        sa.Column("score", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_mask_run_id_frame", "run_mask", ["run_id", "frame"])
