"""The Semantic Boundaries Dataset: ``img/*.jpg``, ``inst/*.mat``, ``train.txt`` and ``val.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.io import loadmat, savemat
from scipy.io.matlab import MatReadError

from segue.core.errors import DataError
from segue.data.formats.base import Format, WriteOptions, Writer, from_labels, label_map, void_loss
from segue.data.formats.locate import ImageLocator
from segue.data.formats.output import OutputFolder
from segue.data.formats.voc import CLASSES, listed
from segue.data.record import AnnotatedImage, DataSet, Loss, Options, Samples


class SbdWriter(Writer):
    """``img/``, ``inst/*.mat`` and ``val.txt``."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._list = output.stream("val.txt")

    def add(self, image: AnnotatedImage) -> list[Loss]:
        labels, losses = label_map(image, range(1, 65536))
        kinds = [[CLASSES.index(a.name) if a.name in CLASSES else 0] for a in image.annotations]
        content = {
            "Segmentation": labels.astype(np.uint8 if labels.max() < 256 else np.uint16),
            "Categories": np.array(kinds, np.uint8).reshape(-1, 1),
        }
        buffer = BytesIO()
        savemat(cast(Any, buffer), {"GTinst": content}, do_compression=True)
        stem = self.place_flat("img", image)
        self.output.put(f"inst/{stem}.mat", buffer.getvalue())
        self._list.write(f"{stem}\n".encode())
        return losses + void_loss(image)

    def finish(self) -> None:
        self.output.keep(self._list)


class Sbd(Format):
    """Hariharan et al., ICCV 2011. Instances are ids in ``GTinst.Segmentation``, classes in
    ``GTinst.Categories``; the split is "val" where ``val.txt`` exists, else everything."""

    name = "sbd"
    writer_type = SbdWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        every = sorted(p.stem for p in (folder / "inst").glob("*.mat"))
        names = every if options.all_splits else listed(folder, options.split) or every
        if not names:
            raise DataError(f"no .mat file in {folder / 'inst'}", "one for each image")
        locator = ImageLocator(*options.places(folder / "img"))

        def load(index: int) -> AnnotatedImage:
            return _annotated(folder / "inst" / f"{names[index]}.mat", locator)

        return DataSet(self.name, folder, Samples(names, load), CLASSES[1:])


def _annotated(mat: Path, locator: ImageLocator) -> AnnotatedImage:
    try:
        # appendmat would look for 'x.mat.mat', and object arrays must stay plain data.
        content = loadmat(mat, appendmat=False, squeeze_me=False)["GTinst"][0, 0]
        labels, kinds = content["Segmentation"].astype(np.int32), content["Categories"].ravel()
        names = {str(k): CLASSES[int(c)] for k, c in enumerate(kinds, start=1) if 0 < int(c) < len(CLASSES)}
        annotations, _ = from_labels(labels, mat.stem, names=names)
    except (KeyError, ValueError, IndexError, TypeError, OSError, NotImplementedError, MatReadError) as error:
        raise DataError(
            f"{mat}, which does not read as SBD instances ({error})",
            "a MATLAB 5 file with GTinst.Segmentation and GTinst.Categories",
        ) from error
    image = locator.any_suffix(mat.stem)
    name = image.name if image is not None else f"{mat.stem}.jpg"
    return AnnotatedImage(name, (labels.shape[0], labels.shape[1]), annotations, image)
