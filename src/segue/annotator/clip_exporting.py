"""Masks of clips out of a project: frame by frame in every format, and as video layouts."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from segue.core.errors import DataError, naming_extras
from segue.core.files import write_bytes, write_text
from segue.core.types import Mask
from segue.data.formats.output import OutputFolder
from segue.data.formats.voc import palette_png
from segue.data.io.clip import Clip, Pages, Slices
from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle

MOST = 254  # objects that a palette tells apart


@dataclass(frozen=True)
class Source:
    """A clip to write, under ``name``; ``classes`` by label id, overlaps as ``policy`` says."""

    project: Project
    row: ImageRow
    name: str
    classes: dict[int | None, str]
    policy: str

    def clip(self) -> Clip:
        """The opened clip, whose frames have the names of its files."""
        return self.project.library.clip(self.row.path, self.row.axis)

    def objects(self) -> Sequence[ObjectRow]:
        """Its objects, bottom first."""
        assert self.row.id is not None
        with self.project.store.read() as db:
            return live_objects(db, self.row.id)

    def frames(self) -> Iterator[tuple[int, dict[str, Mask]]]:
        """As ``frames_of``."""
        return frames_of(self.project, self.row, self.policy)


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
    written, output = WRITERS[name][2], OutputFolder(None)
    for row in rows:
        home = output.free(plain_name(row.path))
        written(Source(project, row, home, names, "new" if policy == "allow" else policy), folder)
    return Exported(images=len(rows))


def plain_name(path: str) -> str:
    """The path of a clip without its suffix.

    >>> plain_name("a/scan.nii.gz"), plain_name("walk.mp4")
    ('a/scan', 'walk')
    """
    plain = path[:-3] if path.lower().endswith(".nii.gz") else path
    return Path(plain).with_suffix("").as_posix()


def write_davis(source: Source, folder: Path) -> None:
    """``Annotations/<clip>/<frame>.png`` of every frame, labels 1, 2, ... in a palette, and ``meta.json`` with the
    class and the frames of each. Source: DAVIS 2017 (Pont-Tuset et al.) and YouTube-VOS (Xu et al., 2018)."""
    objects, clip = source.objects(), source.clip()
    numbers = numbered(objects)
    home = folder / "Annotations" / source.name
    seen: dict[str, list[str]] = {one: [] for one in numbers}
    drawn: set[int] = set()
    for frame, masks in source.frames():
        write_bytes(home / f"{clip.name(frame)}.png", palette_png(label_map(masks, numbers, source.row)))
        for one in masks:
            seen[one].append(clip.name(frame))
        drawn.add(frame)
    for frame in set(range(source.row.frames)) - drawn:
        write_bytes(home / f"{clip.name(frame)}.png", palette_png(label_map({}, numbers, source.row)))
    describe(source, folder, seen)


def describe(source: Source, folder: Path, seen: dict[str, list[str]]) -> None:
    """Add a clip to ``meta.json``: number -> class, id and the frames in which an object is ``seen``."""
    objects = source.objects()
    numbers = numbered(objects)
    described = {
        str(numbers[one.id]): {"category": source.classes.get(one.label_id, ""), "id": one.id, "frames": seen[one.id]}
        for one in objects
    }
    meta = folder / "meta.json"
    content = json.loads(meta.read_text()) if meta.exists() else {"videos": {}}
    content["videos"][source.name] = {"objects": described}
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


def label_volume(source: Source, folder: Path) -> NDArray[np.uint8]:
    """(slices, rows, columns) labels 1, 2, ... as the file of the clip has its axes; described in ``meta.json``."""
    clip, numbers = source.clip(), numbered(source.objects())
    volume = clip.volume if isinstance(clip, Slices) else None
    labels = np.zeros((clip.frames, *clip.size) if volume is None else volume.shape, np.uint8)
    seen: dict[str, list[str]] = {one: [] for one in numbers}
    for frame, masks in source.frames():
        plane = labels[frame] if volume is None else volume.cut(labels, source.row.axis, frame)
        plane[:] = label_map(masks, numbers, source.row)
        for one in masks:
            seen[one].append(clip.name(frame))
    describe(source, folder, seen)
    return labels


def spacing_of(clip: Clip) -> tuple[float, float, float]:
    """Between slices, rows and columns, as the file says; 1 where it says nothing."""
    if isinstance(clip, Slices):
        return clip.volume.spacing
    return clip.spacing if isinstance(clip, Pages) else (1.0, 1.0, 1.0)


def write_nifti(source: Source, folder: Path) -> None:
    """``labels/<clip>.nii.gz``, labels 1, 2, ...; a NIfTI file's affine is kept, others have their spacing.

    Raises ``DataError`` rather than writing over the clip itself, ``MissingExtra`` without nibabel."""
    with naming_extras():
        import nibabel
    clip = source.clip()
    target = beside(source, folder / "labels" / f"{source.name}.nii.gz")
    affine = clip.volume.affine if isinstance(clip, Slices) else None
    if affine is None:
        affine = np.diag([*spacing_of(clip)[::-1], 1.0])
    image = nibabel.Nifti1Image(label_volume(source, folder).T, affine)
    image.header.set_xyzt_units("mm")
    write_bytes(target, gzip.compress(image.to_bytes(), 6, mtime=0))


def write_tiff(source: Source, folder: Path) -> None:
    """``labels/<clip>.tif``, a page a slice with labels 1, 2, ...; spacing as ImageJ writes it.

    Raises ``DataError`` rather than writing over the clip itself."""
    import tifffile  # not before a TIFF is written

    target = beside(source, folder / "labels" / f"{source.name}.tif")
    slices, rows, columns = spacing_of(source.clip())
    file = io.BytesIO()
    labels = label_volume(source, folder)
    about = {"axes": "ZYX", "spacing": slices}
    tifffile.imwrite(file, labels, imagej=True, compression="zlib", resolution=(1 / columns, 1 / rows), metadata=about)
    write_bytes(target, file.getvalue())


def beside(source: Source, target: Path) -> Path:
    """``target``, which must not be the clip itself."""
    if target.exists() and target.samefile(source.project.library.locate(source.row.path)):
        raise DataError(f"{target} to write labels to, which is the clip", "another folder", "export elsewhere")
    return target


WRITERS: dict[str, tuple[str, str, Callable[[Source, Path], None]]] = {
    "davis-video": ("DAVIS, YouTube-VOS", "A palette picture for each frame of a clip", write_davis),
    "nifti": ("NIfTI", "A label map for each clip, its affine kept", write_nifti),
    "tiff": ("TIFF stack", "A page of labels for each slice or frame, the spacing kept", write_tiff),
}
