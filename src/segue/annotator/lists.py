"""The list of images as it is filtered and sorted, and changes of many images at once."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, String, and_, cast, or_
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from segue.annotator import schemas, schemas_actions, serializers
from segue.annotator.actions import Window
from segue.annotator.codec import Key
from segue.annotator.project import Project
from segue.annotator.schemas import Ids, Strict
from segue.annotator.store import image_row
from segue.annotator.tables import ImageRow, ObjectRow
from segue.core.errors import SegueError

DAY = 86_400.0
MOST_NAMED = 50
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class ListFilter(Strict):
    """Which images a list shows, and in which order.

    Those in one ``state`` ("open": not finished; "unreviewed": accepted without a verdict) whose path contains
    ``search``, with an object of a class (``label``), with an object of at most ``score``, of ``least`` to ``most``
    objects, last worked on by ``who``, within ``days``, with an ``attribute`` (of a ``value``); ``failed`` ones could
    not be opened.
    """

    state: Literal["open", "new", "started", "accepted", "skipped", "unreviewed", "approved", "returned"] | None = None
    search: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] = ""
    label: Ids | None = None
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    least: Count | None = None
    most: Count | None = None
    who: Annotated[str, StringConstraints(max_length=60, pattern=r"^[^\x00]*$")] | None = None
    days: Annotated[float, Field(ge=0, le=36_500)] | None = None
    attribute: Annotated[str, StringConstraints(max_length=80, pattern=r"^[^\x00]*$")] | None = None
    value: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] | None = None
    failed: bool = False
    sort: Literal["path", "objects", "score", "recent"] = "path"

    def query(self) -> SelectOfScalar[ImageRow]:
        """The images, in no order."""
        wanted = [col(ImageRow.present), *self._about_image(), *self._about_objects()]
        return select(ImageRow).where(*wanted)

    def order(self) -> ColumnElement[Any]:
        """What they are sorted by, smallest first; equal ones by their number."""
        if self.sort == "objects":
            return -col(ImageRow.objects)
        if self.sort == "recent":
            return -col(ImageRow.touched_at)
        if self.sort == "score":
            lowest = select(func.min(ObjectRow.score)).where(*_here()).scalar_subquery()
            return func.coalesce(lowest, 2.0)
        return func.abs(0)

    def _about_image(self) -> list[Any]:
        wanted: list[Any] = []
        if self.state == "unreviewed":
            wanted += [col(ImageRow.state) == "accepted", col(ImageRow.review) == ""]
        elif self.state in ("approved", "returned"):
            wanted.append(col(ImageRow.review) == self.state)
        elif self.state:
            wanted.append(col(ImageRow.state).in_(("new", "started") if self.state == "open" else (self.state,)))
        if self.search:
            wanted.append(func.lower(ImageRow.path).contains(self.search.lower(), autoescape=True))
        if self.least is not None:
            wanted.append(col(ImageRow.objects) >= self.least)
        if self.most is not None:
            wanted.append(col(ImageRow.objects) <= self.most)
        if self.who is not None:
            wanted.append(col(ImageRow.touched_by) == self.who)
        if self.days is not None:
            wanted.append(col(ImageRow.touched_at) >= time.time() - self.days * DAY)
        if self.failed:
            wanted.append(col(ImageRow.problem) != "")
        return wanted

    def _about_objects(self) -> list[Any]:
        wanted = []
        if self.label is not None:
            wanted.append(select(ObjectRow.id).where(*_here(), col(ObjectRow.label_id) == self.label).exists())
        if self.attribute is not None:
            wanted.append(self._described(self.attribute))
        if self.score is not None:
            asked = col(ObjectRow.origin).in_(("prompt", "found"))  # what is drawn by hand has no score
            wanted.append(select(ObjectRow.id).where(*_here(), asked, col(ObjectRow.score) <= self.score).exists())
        return wanted

    def _described(self, name: str) -> Any:
        """An object or an image with this attribute; with ``value`` one that is written like that."""
        ends: list[str] = [""]
        if self.value is not None:
            number = self.value.replace(".", "", 1).lstrip("-").isdigit()
            ends = [json.dumps(self.value), *([json.dumps(float(self.value))] if number else [])]
            ends += [self.value.lower()] if self.value.lower() in ("true", "false") else []

        def holds(values: Any) -> Any:
            text = cast(values, String)
            return or_(*(text.contains(f"{json.dumps(name)}: {end}", autoescape=True) for end in ends))

        of_object = select(ObjectRow.id).where(*_here(), holds(col(ObjectRow.attributes))).exists()
        return or_(of_object, holds(col(ImageRow.tags)))


BulkChange = Annotated[
    schemas_actions.SetState | schemas_actions.Relabel | schemas_actions.Clear, Field(discriminator="kind")
]


class Bulk(Strict):
    """One change of many images; ``key`` is unique per request."""

    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,48}$")]
    images: Annotated[list[Ids], Field(min_length=1, max_length=5000)]
    change: BulkChange


class BulkOut(Strict):
    """How many images were changed, and why others were not."""

    changed: int
    skipped: list[str]


def page(project: Project, wanted: ListFilter, offset: int, limit: int) -> schemas.ImagePage:
    """A part of the list."""
    query = wanted.query()
    with project.store.read() as db:
        total = db.exec(select(func.count()).select_from(query.subquery())).one()
        rows = db.exec(query.order_by(wanted.order(), col(ImageRow.id)).offset(offset).limit(limit))
        return schemas.ImagePage(total=total, offset=offset, images=[serializers.image_line(row) for row in rows])


def neighbour(project: Project, image_id: int, step: int, wanted: ListFilter) -> int | None:
    """The next (or previous) image of the list, wherever ``image_id`` itself would stand in it."""
    order, number = wanted.order(), col(ImageRow.id)
    with project.store.read() as db:
        here = db.exec(select(order).where(number == image_id)).first()
        if here is None:
            here = db.exec(select(order).select_from(ImageRow).order_by(order).limit(1)).first()
        if step > 0:
            query = wanted.query().where(or_(order > here, and_(order == here, number > image_id)))
            row = db.exec(query.order_by(order, number).limit(1)).first()
        else:
            query = wanted.query().where(or_(order < here, and_(order == here, number < image_id)))
            row = db.exec(query.order_by(order.desc(), number.desc()).limit(1)).first()
        return None if row is None else row.id


def people(db: Session) -> list[str]:
    """Names of those who have worked on images."""
    names = select(ImageRow.touched_by).where(col(ImageRow.touched_by) != "").distinct()
    return sorted(db.exec(names))


def bulk(project: Project, who: Window, request: Bulk) -> BulkOut:
    """Change many images, each as an action of its own that undo takes back there; those held by others are left."""
    out = BulkOut(changed=0, skipped=[])
    skipped = []
    for image_id in dict.fromkeys(request.images):
        path = str(image_id)
        try:
            with project.store.read() as db:
                row = image_row(db, image_id)
                path, seen, held = row.path, row.head, row.holder == who.id
            key: Key = f"{request.key}-{image_id}"
            project.actions.act(image_id, who, schemas_actions.Act(key=key, seen=seen, action=request.change))
            if not held:
                project.release(image_id, who)
            out.changed += 1
        except SegueError as error:
            skipped.append(f"{path}: {error}")
    rest = len(skipped) - MOST_NAMED
    out.skipped = skipped[:MOST_NAMED] + ([f"{rest} more"] if rest > 0 else [])
    return out


def _here() -> tuple[Any, Any]:
    return ObjectRow.image_id == ImageRow.id, ~col(ObjectRow.deleted)
