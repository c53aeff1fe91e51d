"""A reviewer's verdict on an image, and comments."""

from __future__ import annotations

import datetime
from typing import Any

from sqlmodel import Session, col, select

from segue.annotator import schemas_actions
from segue.annotator.store import ChangeSet, Conflict
from segue.annotator.tables import Comment
from segue.core.errors import InputError


def review(changes: ChangeSet, action: schemas_actions.Review, _spent: float) -> None:
    """Approve an accepted image, or send it back to be worked on. Raises ``InputError`` for any other."""
    image = changes.image
    assert image is not None
    if image.state != "accepted":
        raise InputError(f"a verdict on an image that is {image.state}", "an accepted image", "accept it first")
    changes.change(image, review=action.verdict)
    if action.verdict == "returned":
        changes.change(image, state="started")


def comment(changes: ChangeSet, action: schemas_actions.Say, _spent: float) -> None:
    """Say something about an image, a place or an object; or settle what was said."""
    assert changes.image is not None
    assert changes.image.id is not None
    row = changes.db.get(Comment, action.comment)
    if row is not None and (row.image_id != changes.image.id or row.deleted):
        raise Conflict(f"comment {action.comment}, which is elsewhere or taken back", "a new comment id")
    if row is not None:
        changes.change(row, done=action.done, **({"text": action.text} if action.text else {}))
        return
    if not action.text:
        raise InputError("a comment without words", "words")
    if action.object is not None and changes.object_row(action.object) is None:
        raise InputError(f"a comment on object {action.object}", "an object of this image", "reload the page")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    place: dict[str, Any] = {"x": action.x, "y": action.y, "object_id": action.object}
    changes.create(
        Comment(id=action.comment, image_id=changes.image.id, text=action.text, who=action.name, at=now, **place)
    )


def comments_of(db: Session, image_id: int) -> list[Comment]:
    """What was said about an image, oldest first."""
    query = select(Comment).where(Comment.image_id == image_id, ~col(Comment.deleted))
    return list(db.exec(query.order_by(col(Comment.at), col(Comment.id))))
