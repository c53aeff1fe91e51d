"""Masks out of a project, in the formats of ``segue.data.formats``."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sqlmodel import col, select

from segue.annotator import clip_exporting
from segue.annotator.attributes import image_extra, to_extra
from segue.annotator.codec import unpack
from segue.annotator.exported import Exported, resolved
from segue.annotator.project import Project
from segue.annotator.schemas_jobs import FormatOut
from segue.annotator.store import get_masks, live_labels, live_objects, setting
from segue.annotator.tables import ImageRow, Label
from segue.core.errors import DataError, SegueError
from segue.core.files import natural_sorted
from segue.data.formats.base import WriteOptions
from segue.data.formats.registry import FORMATS, format_named
from segue.data.record import AnnotatedImage, Annotation
from segue.data.rle import Rle

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


def formats() -> list[FormatOut]:
    """What a project can be exported to."""
    rows = {name: row for name, row in FORMATS.items() if row.exchange}
    order = [*(name for name in ABOUT if name in rows), *(name for name in rows if name not in ABOUT)]
    described = ((name, *ABOUT.get(name, (rows[name].summary, rows[name].layout))) for name in order)
    return [FormatOut(name=name, title=title, about=about) for name, title, about in described]


def clip_formats() -> list[FormatOut]:
    """Layouts of videos, for the clips of a project."""
    return [
        FormatOut(name=name, title=title, about=about) for name, (title, about, _) in clip_exporting.WRITERS.items()
    ]


def has_clips(project: Project) -> bool:
    """Whether a clip was opened in the project."""
    with project.store.read() as db:
        query = select(ImageRow.id).where(col(ImageRow.present), col(ImageRow.frames) > 0)
        return db.exec(query.limit(1)).first() is not None


def export(project: Project, name: str, folder: Path, *, accepted: bool = True, images: bool = False) -> Exported:
    """Write the project's masks into ``folder``.

    The overlap policy is applied, so masks leave as the page shows them; hidden objects are included, objects without
    a pixel are not. A layout of ``clip_formats`` has the clips alone. With ``images`` the photos are copied beside the
    masks, and images whose file is of another size than the masks are left out. Raises ``UnknownName`` for an unknown
    format, ``DataError`` for no image, and ``StorageError`` if the disk refuses.
    """
    if name in clip_exporting.WRITERS:
        return clip_exporting.export(project, name, folder, accepted)
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
        if row.frames:
            yield from clip_exporting.annotated_frames(project, row, names, policy)
            continue
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
            Annotation(names.get(one.label_id, ""), Rle.from_mask(mask), one.id, extra=to_extra(one.attributes))
            for one, mask in zip(full, resolved(drawn, policy), strict=True)
        ]
        yield AnnotatedImage(row.path, size, tuple(annotations), file, extra=image_extra(row.tags))


def _file_of(project: Project, row: ImageRow) -> tuple[tuple[int, int], Path | None]:
    """(H, W) and the file of an image; its last known size and None where the file is gone or cannot be read."""
    try:
        return project.library.size(row.path), project.library.locate(row.path)
    except SegueError:
        return row.size_known or (0, 0), None
