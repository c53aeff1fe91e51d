"""COCO panoptic: a JSON file whose annotations point to PNGs, in which a colour is the id of a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from segue.core.errors import DataError, ImageError, MissingFile
from segue.data.formats.base import Format, WriteOptions, Writer
from segue.data.formats.coco import CocoFile, flag, joined_files, key_of
from segue.data.formats.output import OutputFolder
from segue.data.formats.signs import Listing
from segue.data.io.image import Labels
from segue.data.photo_size import stated_size
from segue.data.rasterize import rles_of_labels
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options
from segue.data.rle import Rle, union


class CocoPanoptic(Format):
    """Kirillov et al., CVPR 2019. One object a segment, with its category's name, things and stuff alike; crowds and
    pixels without a segment never count. It is read only: COCO's own instances hold all that it does."""

    name = "coco-panoptic"

    def open(self, folder: Path, options: Options) -> DataSet:
        listing = Listing(folder)
        files = [file for file in listing.json_files(self.name) if options.split is None or options.split in file.stem]
        if not files:
            raise DataError(f"no COCO panoptic annotations in {folder}", "JSON files with images and segments_info")
        return joined_files(self.name, listing.folder, [_PanopticFile(file, listing.folder, options) for file in files])

    def writer(self, folder: Path | None, options: WriteOptions | None = None, names: Sequence[str] = ()) -> Writer:
        OutputFolder(folder).close()
        raise DataError("the format 'coco-panoptic' to write", "one that is written", "write 'coco' instead")


class _PanopticFile(CocoFile):
    """One file; the PNGs lie in a folder of the file's name, or anywhere near."""

    def annotated(self, name: str, image: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> AnnotatedImage:
        path = self.locator.find(name)
        size = stated_size(image.get("height"), image.get("width"), path, name)
        annotations: list[Annotation] = []
        losses, void = [], [Rle.empty(size)]
        for row in rows:
            ids = _segment_ids(self._png(str(row["file_name"])))
            if ids.shape != size:
                raise DataError(f"segments of {ids.shape[1]} x {ids.shape[0]} pixels", f"{size[1]} x {size[0]}")
            segments = {int(segment["id"]): segment for segment in row["segments_info"]}
            rles = dict(rles_of_labels(ids))
            void.append(Rle.from_mask(ids == 0))
            for id in rles.keys() - segments.keys():
                losses.append(
                    Loss(name, "pixels of a segment that is not listed", f"segment {id}", file=self.file.name)
                )
                void.append(rles[id])
            for id, segment in segments.items():
                which = f"segment {id}"
                if id not in rles:
                    losses.append(Loss(name, "segment without a pixel", which, file=self.file.name))
                elif flag(segment.get("iscrowd"))[0]:
                    void.append(rles[id])
                else:
                    kind = self.index.names.get(key_of(segment.get("category_id")))
                    if kind is None:
                        what = f"category id {segment.get('category_id')!r} is not listed: object without a class"
                        losses.append(Loss(name, what, which, 1.0, self.file.name))
                    stuff = key_of(segment.get("category_id")) in self.index.stuff
                    extra = {"panoptic": {"isthing": 0}} if stuff else {}
                    annotations.append(Annotation(kind or "", rles[id], f"{Path(name).stem}#{id}", extra=extra))
        ignore_rle = union(void)
        return AnnotatedImage(
            name, size, tuple(annotations), path, ignore_rle if ignore_rle.area else None, tuple(losses)
        )

    def _png(self, name: str) -> Path:
        places = (self.file.with_suffix(""), self.folder / self.file.stem, self.file.parent)
        file = next((place / name for place in places if (place / name).is_file()), None)
        if file is None:
            raise MissingFile(f"no segments {name} of {self.file}", f"them in the folder {self.file.stem}")
        return file


def _segment_ids(file: Path) -> Labels:
    """(H, W) ids: red + 256 green + 65536 blue."""
    try:
        with PIL.Image.open(file) as image:
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), -1, 0)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{file}, which does not read ({error})", "a PNG of segments") from error
    ids: Labels = red + 256 * green + 65536 * blue
    return ids
