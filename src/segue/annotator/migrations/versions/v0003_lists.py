"""Who worked on an image last, when, and why it could not be opened, so that lists can be filtered and sorted by it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add image.touched_by, image.touched_at and image.problem."""
    op.add_column("image", sa.Column("touched_by", sa.String, nullable=False, server_default=""))
    op.add_column("image", sa.Column("touched_at", sa.Float, nullable=False, server_default="0"))
    op.add_column("image", sa.Column("problem", sa.String, nullable=False, server_default=""))
