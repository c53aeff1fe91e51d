"""Masks into a project: annotation files, label maps, and ZIPs of every format that other tools read and write."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from sqlmodel import Session, col, select

from segue.annotator.attributes import from_extra, take_in
from segue.annotator.codec import pack
from segue.annotator.edits import set_state
from segue.annotator.project import Project, class_colour
from segue.annotator.schemas import LONGEST_NAME
from segue.annotator.schemas_actions import SetState
from segue.annotator.schemas_jobs import Imported, ImportOut, TaskState
from segue.annotator.store import ActionMeta, ChangeSet, check_holder, get_masks, live_labels, live_objects, put_mask
from segue.annotator.tables import ImageRow, Label
from segue.core.errors import DataError, InputError, SegueError, StorageError
from segue.core.files import natural_sorted, read_json
from segue.data.formats.registry import open_data
from segue.data.io.image import read_labels
from segue.data.rasterize import rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples

MOST_NAMED = 50  # of what an import skips
MOST_OBJECTS = 2000  # an image
MOST_UNPACKED = 4 * 2**30  # bytes of a ZIP
Progress = Callable[[float, str], None]


class ImportService:
    """Imports into one project, one at a time, in a thread of their own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state: TaskState = "idle"
        self.progress, self.message = 0.0, ""
        self.result: Imported | None = None
        self._starting = threading.Lock()

    def start(self, files: Sequence[Path], home: Path, who: str) -> None:
        """Begin with ``files``, which lie in ``home``; that is removed afterwards. Raises ``InputError`` meanwhile."""
        with self._starting:
            if self.state == "running":
                shutil.rmtree(home, ignore_errors=True)
                raise InputError("a second import", "the first one to end", "wait for it")
            self.state, self.progress, self.message, self.result = "running", 0.0, "Reading", None
        threading.Thread(target=self._run, args=(files, home, who), daemon=True).start()

    def out(self) -> ImportOut:
        """How it goes."""
        return ImportOut(state=self.state, progress=self.progress, message=self.message, result=self.result)

    def _run(self, files: Sequence[Path], home: Path, who: str) -> None:
        ended: TaskState = "failed"
        try:
            self.result = import_files(self.project, files, who, self._tell)
            ended = "done"
        except Exception as error:
            self.message = str(error) if isinstance(error, SegueError) else f"the import failed: {error}"
        finally:
            shutil.rmtree(home, ignore_errors=True)
            self.state = ended

    def _tell(self, progress: float, message: str) -> None:
        self.progress, self.message = progress, message


def import_files(
    project: Project,
    files: Sequence[Path],
    who: str,
    report: Progress = lambda progress, message: None,
    accept: bool = False,
) -> Imported:
    """Add the objects of annotation files (.json, .xml), of label maps (.png) named like the images, of folders and
    ZIPs of any format, and of what ``segue find`` wrote, to the project; ``report`` hears how far it is. With
    ``accept`` the images that they are in are accepted.

    Nothing that is there is changed, an object that is there already is not added again; each image's objects are one
    journal entry, so one undo takes them back. What fits no image, has another size or holds no mask is skipped and
    named. Raises ``DataError`` for files that do not read.
    """
    result, skipped = Imported(images=0, objects=0, known=0, skipped=[]), []
    for number, path in enumerate(files):
        with _opened(path, project) as data:
            skipped += [_named(loss, path.name) for loss in data.losses]
            for at, sample in enumerate(data.samples):
                report(
                    (number + at / len(data.samples)) / len(files), f"{at} of {len(data.samples)} images of {path.name}"
                )
                try:
                    image = sample.load()
                    skipped += [_named(loss, path.name) for loss in image.losses if loss.iou != 1]
                    if image.ignore_rle is not None:
                        skipped.append(f"{image.file_name}: crowd or void pixels left out")
                    added, known = _add(project, image, who, accept)
                except StorageError:
                    raise
                except SegueError as error:
                    skipped.append(f"{sample.id}: {error}")
                    continue
                result.images += bool(added)
                result.objects += added
                result.known += known
    rest = len(skipped) - MOST_NAMED
    result.skipped = skipped[:MOST_NAMED] + ([f"{rest} more"] if rest > 0 else [])
    return result


@contextlib.contextmanager
def _opened(path: Path, project: Project) -> Iterator[DataSet]:
    """The data set of one file. Raises ``DataError`` for what is none."""
    suffix = path.suffix.lower()
    options = Options(photos=project.library.folder)
    if path.is_dir():
        maps = _maps_alone(path)
        names = _class_names(path)
        yield _label_maps(maps, project.config.max_pixels, names) if maps else open_data(path, options=options)
        return
    if suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="segue-import-") as home:
            _unpack(path, Path(home))
            _lend_photos(Path(home), project)
            yield open_data(home, options=options)
        return
    if suffix in (".json", ".xml"):
        try:
            yield open_data(path, options=options)
        except DataError as error:
            raise DataError(
                f"{path.name}, which does not read ({error.arrived})", "annotations of a known format"
            ) from error
        return
    if suffix != ".png":
        raise DataError(
            f"the file {path.name}", "annotations (.json, .xml), label maps (.png), or a .zip of a format", "convert it"
        )
    image = _label_map(path, project.config.max_pixels)
    yield DataSet("folder", path.parent, Samples([path.name], lambda index: image))


def _maps_alone(folder: Path) -> list[Path]:
    """The label maps of a folder without photos: of its ``masks/``, as ``segue find`` and ``track`` write them, or in
    the folder itself."""
    if (folder / "images").exists():
        return []
    home = folder / "masks" if (folder / "masks").is_dir() else folder
    return natural_sorted(home.glob("*.png"))


def _class_names(folder: Path) -> Sequence[str]:
    """The names of labels 1, 2, ... where ``segue label`` wrote them beside its label maps."""
    path = folder / "results.json"
    results = read_json(path) if path.is_file() else {}
    classes = results.get("classes", ()) if isinstance(results, dict) else ()
    return classes if isinstance(classes, list) and all(isinstance(name, str) for name in classes) else ()


def _label_maps(paths: Sequence[Path], max_pixels: int, classes: Sequence[str]) -> DataSet:
    names = [path.name for path in paths]
    samples = Samples(names, lambda index: _label_map(paths[index], max_pixels, classes))
    return DataSet("folder", paths[0].parent, samples)


def _label_map(path: Path, max_pixels: int, classes: Sequence[str] = ()) -> AnnotatedImage:
    labels = read_labels(path, max_pixels)
    values = np.unique(labels)
    if len(values) > MOST_OBJECTS:
        raise DataError(
            f"{path.name} with {len(values):,} different values",
            f"a label map of at most {MOST_OBJECTS:,} objects",
            "this looks like a photo; choose the mask",
        )
    ignored = (255,) if len(values) > 2 else ()
    annotations = tuple(
        Annotation(classes[label - 1] if label <= len(classes) else "", rle)
        for label, rle in rles_of_labels(labels, ignored)
    )
    return AnnotatedImage(path.name, (labels.shape[0], labels.shape[1]), annotations)


def _unpack(path: Path, home: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MOST_UNPACKED:
                raise DataError(f"{path.name} of {size / 2**30:.1f} GiB unpacked", f"at most {MOST_UNPACKED >> 30} GiB")
            archive.extractall(home)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise DataError(f"{path.name}, which is no ZIP that can be read ({error})", "a complete ZIP") from error


def _lend_photos(home: Path, project: Project) -> None:
    """Photos of the project beside masks or labels that came without: some formats are read from both."""
    if (home / "images").exists():
        return
    for kind in ("masks", "labels"):
        for file in sorted((home / kind).rglob("*.*")):
            inside = file.relative_to(home / kind)
            for name in (inside, Path(*inside.parts[1:])):
                with project.store.read() as db, contextlib.suppress(DataError):
                    row = db.get(ImageRow, _match(db, name.as_posix()))
                    assert row is not None
                    link = home / "images" / inside.with_suffix(PurePosixPath(row.path).suffix)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(project.library.locate(row.path))
                    break


def _named(loss: Loss, file: str) -> str:
    """A loss in one line."""
    return ": ".join(filter(None, (loss.image or file, loss.object, loss.what)))


def _add(project: Project, incoming: AnnotatedImage, who: str, accept: bool) -> tuple[int, int]:
    """How many objects were added, and how many were there already."""
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
            first = live_labels(db)[0].id  # what an object without a class is exported as
            known = {(one.label_id or first, masks[one.mask_id]) for one in here if one.mask_id is not None}
            count = before = 0
            for annotation in incoming.annotations:
                packed = pack(annotation.mask)
                label = _label(changes, annotation.name)
                if not packed.area or (label, packed) in known:
                    before += packed.area > 0
                    continue
                mask_id = put_mask(db, packed)
                values = take_in(changes, "object", from_extra(annotation.extra))
                stored: dict[str, Any] = {"mask_id": mask_id, "base_id": mask_id}
                changes.create_object(uuid.uuid4().hex[:24], label, origin="import", attributes=values, **stored)
                count += 1
            tags = take_in(changes, "image", from_extra(incoming.extra)) if count else {}
            if tags:
                changes.change(row, tags={**row.tags, **tags})
            if accept and count + before:
                set_state(changes, SetState(kind="state", state="accepted"), 0)
            if changes.changes:
                meta = ActionMeta(uuid.uuid4().hex, who, "import", {"file": incoming.file_name, "objects": count})
                changes.record(meta)
                row.objects = len(live_objects(db, row.id or 0))
        return count, before


def _match(db: Session, name: str) -> int:
    """The image of this path; else the only one whose name, or whose path with folders joined by "_", has its stem."""
    here = select(ImageRow.id, ImageRow.path).where(col(ImageRow.present))
    exact = db.exec(here.where(col(ImageRow.path) == name)).first()
    if exact is not None:
        return exact[0] or 0
    stem = PurePosixPath(name).stem
    near = here.where(col(ImageRow.path).contains(f"{stem.rpartition('_')[2]}.", autoescape=True))
    images = [(number or 0, PurePosixPath(path)) for number, path in db.exec(near)]
    for same in (lambda path: path.stem == stem, lambda path: "_".join(path.with_suffix("").parts) == stem):
        matches = [number for number, path in images if same(path)]
        if len(matches) == 1:
            return matches[0]
    raise DataError(f"{len(matches)} images named like {name}", "exactly one in the folder")


def _label(changes: ChangeSet, name: str) -> int | None:
    """The class of that name, made if there is none; a file's name is cleaned as the page would refuse it."""
    labels = live_labels(changes.db)
    name = "".join(letter for letter in name if letter.isprintable()).strip()[:LONGEST_NAME].strip()
    for label in labels:
        if label.name == (name or labels[0].name):
            return label.id
    rank = 1 + max((label.rank for label in labels), default=-1)
    row = Label(name=name or "object", colour=class_colour(rank), rank=rank)
    changes.create(row)
    return row.id
