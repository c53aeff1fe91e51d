"""ssTEM, electron microscopy of the Drosophila nerve cord: ``raw/*.tif`` and ``mitochondria/*.png``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from segue.core.errors import DataError
from segue.data.formats.pairs import file_stem, no_split, paired
from segue.data.io.image import read_image, read_mask, write_image, write_labels
from segue.data.sample import Format, Options, Sample, Target, no_void, truth_of_labels


class Sstem(Format):
    """Gerhard et al., figshare 2013. Each 4-connected component of the mask is one object, as SimpleClick
    evaluates it; ``folder`` is a stack or holds stacks (``stack1/raw`` ...).

    >>> Sstem().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return bool(_stacks(folder))

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        no_split(options, "sstem")
        stacks = _stacks(folder)
        if not stacks:
            raise DataError(f"the folder {folder}", "raw/*.tif and mitochondria/*.png, or stacks of them")
        found = []
        for stack in stacks:
            group = stack.name if stack != folder else ""
            for image, mask in paired(stack / "raw", stack / "mitochondria"):
                name = f"{group}/{image.stem}" if group else image.stem
                found.append(Sample(name, partial(read_image, image), partial(_truth, mask, name), group))
        return found

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "sstem")
            mask = np.zeros(image.shape[:2], bool)
            for instance in target.instances:
                mask |= instance.mask
            if _components(mask)[0] != len(target.instances):
                raise DataError(
                    f"objects that touch or have several parts in '{sample.id}'",
                    "each object one component, as the format 'sstem' tells them apart by that",
                    "write 'folder' instead",
                )
            write_image(folder / "raw" / f"{file_stem(sample)}.tif", image)
            write_labels(folder / "mitochondria" / f"{file_stem(sample)}.png", mask)


def _stacks(folder: Path) -> list[Path]:
    inside = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    return [p for p in (folder, *inside) if (p / "raw").is_dir() and (p / "mitochondria").is_dir()]


def _components(mask: np.ndarray) -> tuple[int, np.ndarray]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return count - 1, labels


def _truth(mask: Path, name: str) -> Target:
    return truth_of_labels(_components(read_mask(mask))[1], name)


FORMAT = Sstem()
