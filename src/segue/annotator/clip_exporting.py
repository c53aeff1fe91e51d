"""Masks of clips out of a project: frame by frame in every format, and as video layouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, select

from segue.annotator.clips import masks_by_frame
from segue.annotator.codec import unpack
from segue.annotator.exported import Exported, resolved
from segue.annotator.project import Project
from segue.annotator.store import get_masks, live_labels, live_objects, setting
from segue.annotator.tables import ImageRow, ObjectRow
from segue.core.errors import DataError
from segue.core.files import write_bytes, write_text
from segue.core.types import Mask
from segue.data.formats.voc import palette_png
from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle

MOST = 254  # objects that a palette tells apart


def frames_of(project: Project, row: ImageRow, policy: str) -> Iterator[tuple[int, dict[str, Mask]]]:
    """Every frame of a clip in which something is seen: object -> (H, W) mask, as the overlap policy leaves them."""
    assert row.id is not None
    with project.store.read() as db:
        frames = masks_by_frame(db, row.id)
    for frame, ids in frames.items():
        with project.store.read() as db:
            packed = get_masks(db, list(ids.values()))
        drawn = {one: packed[mask_id] for one, mask_id in ids.items() if packed[mask_id].area}
        masks = resolved([unpack(one, row.size) for one in drawn.values()], policy)
        yield frame, dict(zip(drawn, masks, strict=True))


def annotated_frames(
    project: Project, row: ImageRow, names: dict[int | None, str], policy: str
) -> Iterator[AnnotatedImage]:
    """A clip as one image a frame; the objects keep their ids."""
    assert row.id is not None
    with project.store.read() as db:
        objects = {one.id: one for one in live_objects(db, row.id)}
    for frame, masks in frames_of(project, row, policy):
        annotations = [
            Annotation(names.get(objects[one].label_id, ""), Rle.from_mask(mask), one) for one, mask in masks.items()
        ]
        yield AnnotatedImage(f"{row.path}/{frame:05d}.png", row.size, tuple(annotations))


def export(project: Project, name: str, folder: Path, accepted: bool) -> Exported:
    """Write the project's clips in a video layout. Raises ``DataError`` where there is none to write."""
    with project.store.read() as db:
        query = select(ImageRow).where(col(ImageRow.present), col(ImageRow.frames) > 0).order_by(col(ImageRow.id))
        query = query.where(ImageRow.state == "accepted") if accepted else query.where(col(ImageRow.objects) > 0)
        rows = list(db.exec(query))
        names = {label.id: label.name for label in live_labels(db)}
        policy = setting(db, "overlap", "allow")
    if not rows:
        raise DataError("no clip to export", "at least one accepted clip with objects", "accept one, or export all")
    written = WRITERS[name][2]
    for row in rows:
        written(project, row, folder, names, "new" if policy == "allow" else policy)
    return Exported(images=len(rows))


def write_davis(project: Project, row: ImageRow, folder: Path, names: dict[int | None, str], policy: str) -> None:
    """``Annotations/<clip>/<frame>.png`` of every frame, labels 1, 2, ... in a palette, and ``meta.json`` with the
    class and the frames of each. Source: DAVIS 2017 (Pont-Tuset et al.) and YouTube-VOS (Xu et al., 2018)."""
    assert row.id is not None
    with project.store.read() as db:
        objects = live_objects(db, row.id)
    numbers = numbered(objects)
    clip = project.library.clip(row.path, row.axis)
    home = Path(row.path).with_suffix("").as_posix()
    seen: dict[str, list[str]] = {one: [] for one in numbers}
    drawn: set[int] = set()
    for frame, masks in frames_of(project, row, policy):
        write_bytes(folder / f"Annotations/{home}/{clip.name(frame)}.png", palette_png(label_map(masks, numbers, row)))
        for one in masks:
            seen[one].append(clip.name(frame))
        drawn.add(frame)
    for frame in set(range(row.frames)) - drawn:
        write_bytes(folder / f"Annotations/{home}/{clip.name(frame)}.png", palette_png(label_map({}, numbers, row)))
    described = {
        str(numbers[one.id]): {"category": names.get(one.label_id, ""), "id": one.id, "frames": seen[one.id]}
        for one in objects
    }
    meta = folder / "meta.json"
    content = json.loads(meta.read_text()) if meta.exists() else {"videos": {}}
    content["videos"][home] = {"objects": described}
    write_text(meta, json.dumps(content, indent=1))


def numbered(objects: Sequence[ObjectRow]) -> dict[str, int]:
    """1, 2, ... for the objects of a clip, bottom first. Raises ``DataError`` for more than a palette holds."""
    if len(objects) > MOST:
        raise DataError(
            f"{len(objects)} objects in one clip", f"at most {MOST} in a palette", "write the format 'coco'"
        )
    return {one.id: number for number, one in enumerate(objects, 1)}


def label_map(masks: dict[str, Mask], numbers: dict[str, int], row: ImageRow) -> NDArray[np.int32]:
    """(H, W) labels of a frame."""
    labels = np.zeros(row.size, np.int32)
    for one, mask in masks.items():
        labels[mask] = numbers[one]
    return labels


WRITERS: dict[str, tuple[str, str, Callable[[Project, ImageRow, Path, dict[int | None, str], str], None]]] = {
    "davis-video": ("DAVIS, YouTube-VOS", "A palette picture for each frame of a clip", write_davis),
}
