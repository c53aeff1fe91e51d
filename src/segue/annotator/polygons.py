"""What an object would look like, as polygons or after a rule: computed from its mask when asked, never stored."""

from __future__ import annotations

from sqlmodel import Session

from segue.annotator import schemas
from segue.annotator.actions import frame_of
from segue.annotator.clips import see
from segue.annotator.codec import pack, unpack
from segue.annotator.edits import limited
from segue.annotator.project import Project
from segue.annotator.shaping import shaped
from segue.annotator.store import get_mask, image_row
from segue.annotator.tables import ObjectRow
from segue.core.errors import MissingFile
from segue.core.types import Mask
from segue.data.polygon import fill, to_rings


def polygon_of(
    project: Project, image_id: int, object_id: str, tolerance: float, frame: int | None = None
) -> schemas.PolygonOut:
    """Rings of an object within ``tolerance`` pixels, and their IoU with its mask."""
    with project.store.read() as db:
        mask = stored_mask(db, image_id, object_id, frame)
    rings = to_rings(mask, tolerance)
    filled = fill(rings, (mask.shape[0], mask.shape[1]))
    union = int((mask | filled).sum())
    return schemas.PolygonOut(
        rings=[[round(float(v), 2) for v in ring.reshape(-1)] for ring in rings],
        points=sum(len(ring) for ring in rings),
        iou=1.0 if union == 0 else int((mask & filled).sum()) / union,
    )


def preview(
    project: Project, image_id: int, object_id: str, how: str, amount: float, frame: int | None = None
) -> schemas.Preview:
    """The mask that the rule ``how`` would leave."""
    with project.store.read() as db:
        mask = stored_mask(db, image_id, object_id, frame)
    packed = pack(shaped(mask, how, limited(how, amount)))
    return schemas.Preview(box=packed.box, area=packed.area, data=packed.text)


def stored_mask(db: Session, image_id: int, object_id: str, frame: int | None = None) -> Mask:
    """(H, W) bool of an object of an image, of a clip in ``frame``."""
    row, target = image_row(db, image_id), db.get(ObjectRow, object_id)
    if target is not None and row.frames:
        see(db, row, [target], frame_of(row, frame) or 0)
    if target is None or target.deleted or target.image_id != image_id or target.mask_id is None:
        raise MissingFile(f"object {object_id}", "an object of this image", "reload the page")
    return unpack(get_mask(db, target.mask_id), row.size)
