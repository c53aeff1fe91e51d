"""Attributes of objects and tags of images, as the project defines them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add item.attributes and image.tags."""
    op.add_column("item", sa.Column("attributes", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("image", sa.Column("tags", sa.JSON, nullable=False, server_default="{}"))
