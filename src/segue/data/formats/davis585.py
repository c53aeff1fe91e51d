"""DAVIS-585 (Chen et al., FocalClick, CVPR 2022): objects of frames, each with masks that annotating starts from."""

from __future__ import annotations

import re
from pathlib import Path

from segue.core.errors import DataError
from segue.data.formats.base import Format, no_split
from segue.data.formats.saliency import read_matte
from segue.data.formats.signs import Listing
from segue.data.record import AnnotatedImage, Annotation, DataSet, Options, Samples

INITIAL = "sp", "stm"  # from super-pixels; from a video's propagation
_OBJECT = re.compile(r"^(?!init_)(.+)_([^_]+)\.png$")


class Davis585(Format):
    """A folder a video: ``00009.jpg``, and for each object of it ``object1_00009.png``, ``init_sp_object1_00009.png``
    and ``init_stm_object1_00009.png``. ``Annotation.extra["initial"]`` names those files by ``sp`` and ``stm``."""

    name = "davis585"

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        listing = Listing(folder)
        found: dict[Path, list[Path]] = {}
        for at in sorted(listing.names):
            for name in listing.names[at]:
                if match := _OBJECT.match(name):
                    found.setdefault(folder / at / f"{match[2]}.jpg", []).append(folder / at / name)
        lost = [image for image in found if not image.is_file()]
        if lost or not found:
            raise DataError(f"{folder} without {lost[0] if lost else 'objects'}", "the frame of every object's mask")
        images = sorted(found)
        ids = [image.relative_to(folder).with_suffix("").as_posix() for image in images]

        def load(index: int) -> AnnotatedImage:
            image = images[index]
            objects = tuple(_annotation(file, folder) for file in sorted(found[image]))
            size = objects[0].rle.size
            return AnnotatedImage(image.relative_to(folder).as_posix(), (size[0], size[1]), objects, image)

        return DataSet(self.name, folder, Samples(ids, load, [""] * len(ids)))


def _annotation(file: Path, folder: Path) -> Annotation:
    initial = {kind: str(file.with_name(f"init_{kind}_{file.name}")) for kind in INITIAL}
    identity = file.relative_to(folder).with_suffix("").as_posix()
    there = {kind: path for kind, path in initial.items() if Path(path).is_file()}
    return Annotation("", Annotation.from_mask(read_matte(file)).rle, identity, extra={"initial": there})
