"""OAI-ZIB slices, magnetic resonance of the knee: ``test/image/*.png`` and ``test/annotations/*.png``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from segue.core.errors import DataError
from segue.data.formats.pairs import file_stem, paired
from segue.data.io.image import read_image, read_labels, write_image, write_labels
from segue.data.sample import Format, Options, Sample, Target, labels_of_truth, no_void, truth_of_labels

DEFAULT_SPLIT = "test"


class OaiZib(Format):
    """Ambellan et al., Medical Image Analysis 2019, in the slices that SimpleClick evaluates: femoral and
    tibial cartilage are one object each, whatever their label values.

    >>> OaiZib().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return any((p / "image").is_dir() and (p / "annotations").is_dir() for p in (folder, folder / DEFAULT_SPLIT))

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        root = folder / (options.split or DEFAULT_SPLIT)
        if options.split is None and not root.is_dir():
            root = folder
        return [
            Sample(image.stem, partial(read_image, image), partial(_truth, mask))
            for image, mask in paired(root / "image", root / "annotations")
        ]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "oaizib")
            labels = labels_of_truth(target, image.shape[:2], sample.id)
            if labels.max() > 255:
                raise DataError(f"{len(target.instances)} objects in '{sample.id}'", "at most 255")
            write_image(folder / DEFAULT_SPLIT / "image" / f"{file_stem(sample)}.png", image)
            write_labels(folder / DEFAULT_SPLIT / "annotations" / f"{file_stem(sample)}.png", labels.astype(np.uint8))


def _truth(mask: Path) -> Target:
    return truth_of_labels(read_labels(mask), mask.stem)


FORMAT = OaiZib()
