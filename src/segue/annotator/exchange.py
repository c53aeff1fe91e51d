"""Masks in and out of a project, in the formats of ``segue.data.formats``."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import model_validator
from sqlmodel import Session, col, select

from segue.annotator.codec import pack, unpack
from segue.annotator.config import AnnotateConfig
from segue.annotator.project import PALETTE, Project
from segue.annotator.schemas import LONGEST_NAME
from segue.annotator.schemas_jobs import FormatOut, Imported
from segue.annotator.store import (
    ActionMeta,
    ChangeSet,
    check_holder,
    get_masks,
    live_labels,
    live_objects,
    put_mask,
    setting,
)
from segue.annotator.tables import ImageRow, Label
from segue.core.errors import DataError, MissingFile, SegueError, StorageError
from segue.core.files import natural_sorted, write_bytes
from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import FORMATS, format_named, known_name, open_data
from segue.data.io.image import read_labels
from segue.data.rasterize import rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle
from segue.session.config import JobConfig

MOST_NAMED = 50  # of what an import skips
MOST_OBJECTS = 2000  # an image
ABOUT = {
    "coco": ("COCO", "One JSON file, every pixel kept"),
    "folder": ("PNG label maps", "A picture for each image, every pixel kept"),
    "yolo": ("YOLO", "A text file of polygons for each image"),
    "voc": ("Pascal VOC", "Palette pictures of classes and objects"),
    "labelme": ("Labelme", "A JSON file for each image"),
    "cvat": ("CVAT 1.1", "One XML file"),
    "label-studio": ("Label Studio", "Brush masks as JSON"),
    "numpy": ("NumPy", "An .npz array for each image"),
}  # in the order of the page; a format that is not here yet follows with its own summary


@dataclass
class Exported:
    """What an export wrote and left out: ``images``, objects that were ``empty``, and photos that were ``replaced``
    since their masks were made."""

    images: int = 0
    empty: int = 0
    replaced: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.images} {'image' if self.images == 1 else 'images'} exported."]
        if self.empty:
            objects = "object without a pixel was" if self.empty == 1 else "objects without a pixel were"
            parts.append(f"{self.empty} {objects} left out.")
        if self.replaced:
            parts.append(f"Masks of the old file, as it was replaced since: {', '.join(self.replaced[:5])}.")
        return " ".join(parts)


def formats() -> list[FormatOut]:
    """What a project can be exported to."""
    rows = {name: row for name, row in FORMATS.items() if row.exchange}
    order = [*(name for name in ABOUT if name in rows), *(name for name in rows if name not in ABOUT)]
    described = ((name, *ABOUT.get(name, (rows[name].summary, rows[name].layout))) for name in order)
    return [FormatOut(name=name, title=title, about=about) for name, title, about in described]


def export(project: Project, name: str, folder: Path, *, accepted: bool = True, images: bool = False) -> Exported:
    """Write the project's masks into ``folder``.

    The overlap policy is applied, so masks leave as the page shows them; hidden objects are included, objects without
    a pixel are not. With ``images`` the photos are copied beside them, and images whose file is of another size than
    the masks are left out. Raises ``UnknownName`` for an unknown format, ``DataError`` for no image, and
    ``StorageError`` if the disk refuses.
    """
    with project.store.read() as db:
        names = [label.name for label in live_labels(db)]
    exported = Exported()
    with format_named(name).writer(folder, WriteOptions(images="copy" if images else "none"), names) as writer:
        for image in annotated_images(project, accepted, exported):
            if images and image.file is None:
                continue
            writer.add(image)
            exported.images += 1
    if not exported.images:
        raise DataError("no image to export", "at least one accepted image", "accept one, or export all")
    return exported


def packed_export(project: Project, name: str, *, accepted: bool) -> tuple[Path, str, Exported]:
    """One file to download (a ZIP of several), its name, and what is in it; the caller removes the file's folder."""
    home = Path(tempfile.mkdtemp(prefix="segue-export-"))
    try:
        out = home / "out"
        exported = export(project, name, out, accepted=accepted)
        files = natural_sorted(path for path in out.rglob("*") if path.is_file())
        stem = f"{project.library.folder.name}-{name}"
        if len(files) == 1 and name == "coco":
            return files[0], f"{stem}.json", exported
        with zipfile.ZipFile(home / "out.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(out))
        return home / "out.zip", f"{stem}.zip", exported
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def annotated_images(project: Project, accepted: bool, exported: Exported) -> Iterator[AnnotatedImage]:
    """Every image (or only accepted ones), its objects as the overlap policy leaves them; notes what is left out."""
    with project.store.read() as db:
        query = select(ImageRow).where(col(ImageRow.present)).order_by(col(ImageRow.id))
        query = query.where(ImageRow.state == "accepted") if accepted else query.where(col(ImageRow.objects) > 0)
        rows = list(db.exec(query))
        names = {label.id: label.name for label in db.exec(select(Label))}
        policy = setting(db, "overlap", "allow")
    for row in rows:
        with project.store.read() as db:
            assert row.id is not None
            objects = [one for one in live_objects(db, row.id) if one.mask_id is not None]
            masks = get_masks(db, [one.mask_id for one in objects])
        full = [one for one in objects if masks[one.mask_id or 0].area]
        exported.empty += len(objects) - len(full)
        size, file = _file_of(project, row)
        if objects and size != row.size:
            exported.replaced.append(row.path)
            size, file = row.size, None
        drawn = [unpack(masks[one.mask_id or 0], size) for one in full]
        annotations = [
            Annotation(names.get(one.label_id, ""), Rle.from_mask(mask), one.id)
            for one, mask in zip(full, resolved(drawn, policy), strict=True)
        ]
        yield AnnotatedImage(row.path, size, tuple(annotations), file)


def _file_of(project: Project, row: ImageRow) -> tuple[tuple[int, int], Path | None]:
    """(H, W) and the file of an image; its last known size and None where the file is gone or cannot be read."""
    try:
        return project.library.size(row.path), project.library.locate(row.path)
    except SegueError:
        return row.size_known or (0, 0), None


def resolved(masks: Sequence[Any], policy: str) -> list[Any]:
    """``masks`` (H, W) bool, bottom first, after the overlap policy: kept ("allow"), the upper one wins ("new")
    or the lower one wins ("old").

    >>> a, b = np.array([[True, True, False]]), np.array([[False, True, True]])
    >>> [m.astype(int).tolist() for m in resolved([a, b], "new")]
    [[[1, 0, 0]], [[0, 1, 1]]]
    """
    if policy == "allow" or not masks:
        return list(masks)
    order = range(len(masks)) if policy == "old" else reversed(range(len(masks)))
    taken = np.zeros_like(masks[0])
    left = list(masks)
    for k in order:
        left[k] = masks[k] & ~taken
        taken |= masks[k]
    return left


def import_files(project: Project, files: Sequence[tuple[str, bytes]], who: str) -> Imported:
    """Add the objects of annotation files (COCO, CVAT, Labelme, Label Studio) and of label maps in PNG, named like the
    images, to the project.

    Nothing that is there is changed; each image's objects are one journal entry, so one undo takes them back.
    What fits no image, has another size or holds no mask is skipped and named. Raises ``DataError`` for files that do
    not read.
    """
    done, objects, skipped = 0, 0, []
    with tempfile.TemporaryDirectory(prefix="segue-import-") as home:
        for number, (name, content) in enumerate(files):
            plain = PurePosixPath(name.replace("\\", "/")).name
            path = Path(home, str(number), plain or "file")
            write_bytes(path, content)
            data = _opened(path, project)
            skipped += [_named(loss, plain) for loss in data.losses]
            for sample in data.samples:
                try:
                    image = sample.load()
                    skipped += [_named(loss, plain) for loss in image.losses if loss.iou != 1]
                    if image.ignore_rle is not None:
                        skipped.append(f"{image.file_name}: crowd or void pixels left out")
                    count = _add(project, image, who)
                except StorageError:
                    raise
                except SegueError as error:
                    skipped.append(f"{sample.id}: {error}")
                    continue
                done, objects = done + bool(count), objects + count
    rest = len(skipped) - MOST_NAMED
    return Imported(images=done, objects=objects, skipped=skipped[:MOST_NAMED] + ([f"{rest} more"] if rest > 0 else []))


def _opened(path: Path, project: Project) -> DataSet:
    """The data set of one file. Raises ``DataError`` for what is none."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".xml"):
        try:
            return open_data(path, options=Options(photos=project.library.folder))
        except DataError as error:
            raise DataError(
                f"{path.name}, which does not read ({error.arrived})", "annotations of a known format"
            ) from error
    if suffix != ".png":
        raise DataError(f"the file {path.name}", "annotations (.json, .xml) or label maps (.png)", "convert it first")
    labels = read_labels(path, project.config.max_pixels)
    values = np.unique(labels)
    if len(values) > MOST_OBJECTS:
        raise DataError(
            f"{path.name} with {len(values):,} different values",
            f"a label map of at most {MOST_OBJECTS:,} objects",
            "this looks like a photo; choose the mask",
        )
    ignored = (255,) if len(values) > 2 else ()
    annotations = tuple(Annotation("", rle) for _, rle in rles_of_labels(labels, ignored))
    image = AnnotatedImage(path.name, (labels.shape[0], labels.shape[1]), annotations)
    return DataSet("folder", path.parent, Samples([path.name], lambda index: image))


def _named(loss: Loss, file: str) -> str:
    """A loss in one line."""
    return ": ".join(filter(None, (loss.image or file, loss.object, loss.what)))


def _add(project: Project, incoming: AnnotatedImage, who: str) -> int:
    with project.store.read() as db:
        row = project.actions.measured(db, _match(db, incoming.file_name))
        if len(incoming.annotations) > MOST_OBJECTS:
            raise DataError(f"{len(incoming.annotations):,} objects in one image", f"at most {MOST_OBJECTS:,}")
        if row.size != incoming.size:
            raise DataError(
                f"masks of {incoming.size[1]} x {incoming.size[0]} pixels",
                f"{row.width} x {row.height}, the photo's size",
            )
        with project.store.write(db):
            check_holder(row, who)
            changes = ChangeSet(db, row)
            here = live_objects(db, row.id or 0)
            masks = get_masks(db, [one.mask_id for one in here])
            known = {(one.label_id, masks[one.mask_id]) for one in here if one.mask_id is not None}
            count = 0
            for annotation in incoming.annotations:
                packed = pack(annotation.mask)
                label = _label(changes, annotation.name)
                if not packed.area or (label, packed) in known:
                    continue  # an import that is repeated adds nothing
                mask_id = put_mask(db, packed)
                changes.create_object(uuid.uuid4().hex[:24], label, mask_id=mask_id, base_id=mask_id, origin="import")
                count += 1
            if count:
                meta = ActionMeta(uuid.uuid4().hex, who, "import", {"file": incoming.file_name, "objects": count})
                changes.record(meta)
                row.objects = len(live_objects(db, row.id or 0))
        return count


def _match(db: Session, name: str) -> int:
    """The image of this path, or else the only one with the same stem."""
    here = select(ImageRow).where(col(ImageRow.present))
    row = db.exec(here.where(col(ImageRow.path) == name)).first()
    if row is not None:
        return row.id or 0
    stem = PurePosixPath(name).stem
    near = here.where(col(ImageRow.path).contains(f"{stem}.", autoescape=True))
    matches = [row.id or 0 for row in db.exec(near) if PurePosixPath(row.path).stem == stem]
    if len(matches) != 1:
        raise DataError(f"{len(matches)} images named like {name}", "exactly one in the folder")
    return matches[0]


def _label(changes: ChangeSet, name: str) -> int | None:
    """The class of that name, made if there is none; a file's name is cleaned as the page would refuse it."""
    labels = live_labels(changes.db)
    name = "".join(letter for letter in name if letter.isprintable()).strip()[:LONGEST_NAME].strip()
    for label in labels:
        if label.name == (name or labels[0].name):
            return label.id
    rank = 1 + max((label.rank for label in labels), default=-1)
    row = Label(name=name or "object", colour=PALETTE[rank % len(PALETTE)], rank=rank)
    changes.create(row)
    return row.id


class ExchangeConfig(JobConfig):
    """Import ``files`` into a project, then write its masks as ``export`` into ``output``; ``everything`` includes
    images that are not accepted.

    >>> ExchangeConfig.from_fields(project=AnnotateConfig(), export="coco")
    Traceback (most recent call last):
    segue.core.errors.ConfigError: an export needs a folder to write to ...
    """

    project: AnnotateConfig
    files: tuple[Path, ...] = ()
    export: str | None = None
    output: Path | None = None
    everything: bool = False

    @model_validator(mode="after")
    def _somewhere(self) -> ExchangeConfig:
        if self.export is not None and self.output is None:
            raise ValueError("an export needs a folder to write to (-o DIR)")
        return self


def run(config: ExchangeConfig) -> dict[str, Any]:
    """Do it; the figures for the table. The page may be open meanwhile."""
    if config.export is not None:
        known_name(config.export)  # a wrong name is an error before anything is imported
    project = Project(config.project)
    try:
        done: dict[str, Any] = {"folder": str(config.project.images)}
        if config.files:
            contents = []
            for path in config.files:
                if not path.is_file():
                    raise MissingFile(f"the file {path}", "COCO (.json) or label maps (.png)", "check the path")
                contents.append((path.name, path.read_bytes()))
            done["imported"] = import_files(project, contents, "command").model_dump()
        if config.export is not None and config.output is not None:
            accepted = not config.everything
            done["exported images"] = export(project, config.export, config.output, accepted=accepted).images
            done["output"] = str(config.output)
        return done
    finally:
        project.close()
