"""What a file was when its image was first opened, so that another file of the same name is noticed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add image.stamp; empty for images of before."""
    op.add_column("image", sa.Column("stamp", sa.String, nullable=False, server_default=""))
