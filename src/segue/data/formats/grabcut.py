"""The GrabCut benchmark: ``data_GT/`` and ``boundary_GT/`` with 0 background, 128 void, 255 object."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segue.data.formats.pairs import PairedFolders, file_stem
from segue.data.io.image import read_labels, write_image, write_labels
from segue.data.sample import Options, Sample, Target, labels_of_truth, only_instance, truth_of_labels

VOID = 128


class GrabCut(PairedFolders):
    """Rother et al., GrabCut, SIGGRAPH 2004: 50 images, the object's ragged edge marked as void.

    >>> GrabCut().name
    'grabcut'
    """

    def __init__(self) -> None:
        super().__init__("grabcut", "data_GT", "boundary_GT")

    def ignore_mask(self, folder: Path, options: Options) -> tuple[int, ...]:
        return (VOID,) if options.ignore_values is None else options.ignore_values

    def target(self, mask: Path, ignore_mask: tuple[int, ...]) -> Target:
        labels = read_labels(mask)
        # The published reading: above 128 is object, below it background.
        found = np.where(np.isin(labels, ignore_mask), -1, labels > VOID).astype(np.int32)
        return truth_of_labels(found, mask.stem, (-1,))

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            only_instance(target, sample.id, self.name)
            write_image(folder / self.images / f"{file_stem(sample)}.png", image)
            labels = labels_of_truth(target, image.shape[:2], sample.id, ignore_mask=VOID, value=255)
            write_labels(folder / self.masks / f"{file_stem(sample)}.png", labels)


FORMAT = GrabCut()
