"""The Semantic Boundaries Dataset: ``img/*.jpg``, ``inst/*.mat``, ``train.txt`` and ``val.txt``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.io import loadmat, savemat
from scipy.io.matlab import MatReadError

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.data.formats.pairs import file_stem
from segue.data.formats.voc import CLASSES, listed
from segue.data.io.image import read_image, write_image
from segue.data.sample import Format, Options, Sample, Target, labels_of_truth, no_void, truth_of_labels


class Sbd(Format):
    """Hariharan et al., ICCV 2011. Instances are ids in ``GTinst.Segmentation``, classes in
    ``GTinst.Categories``; the split is "val" where ``val.txt`` exists, else everything.

    >>> Sbd().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return (folder / "img").is_dir() and (folder / "inst").is_dir()

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        names = listed(folder, options.split) or sorted(p.stem for p in (folder / "inst").glob("*.mat"))
        if not names:
            raise DataError(f"no .mat file in {folder / 'inst'}", "one for each image")
        return [
            Sample(
                name,
                partial(read_image, folder / "img" / f"{name}.jpg"),
                partial(_truth, folder / "inst" / f"{name}.mat"),
            )
            for name in names
        ]

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        names = []
        for sample in samples:
            image, target = sample.read()
            no_void(target, sample.id, "sbd")
            labels = labels_of_truth(target, image.shape[:2], sample.id)
            kinds = [[CLASSES.index(i.name) if i.name in CLASSES else 0] for i in target.instances]
            content = {
                "Segmentation": labels.astype(np.uint8 if labels.max() < 256 else np.uint16),
                "Categories": np.array(kinds, np.uint8).reshape(-1, 1),
            }
            buffer = BytesIO()
            savemat(cast(Any, buffer), {"GTinst": content}, do_compression=True)
            write_image(folder / "img" / f"{file_stem(sample)}.jpg", image)
            write_bytes(folder / "inst" / f"{file_stem(sample)}.mat", buffer.getvalue())
            names.append(file_stem(sample))
        write_bytes(folder / "val.txt", "".join(f"{n}\n" for n in names).encode())


def _truth(mat: Path) -> Target:
    try:
        # appendmat would look for 'x.mat.mat', and object arrays must stay plain data.
        content = loadmat(mat, appendmat=False, squeeze_me=False)["GTinst"][0, 0]
        labels, kinds = content["Segmentation"].astype(np.int32), content["Categories"].ravel()
    except (KeyError, ValueError, IndexError, TypeError, OSError, NotImplementedError, MatReadError) as error:
        raise DataError(
            f"{mat}, which does not read as SBD instances ({error})",
            "a MATLAB 5 file with GTinst.Segmentation and GTinst.Categories",
        ) from error
    names = {str(k): CLASSES[int(c)] for k, c in enumerate(kinds, start=1) if 0 < int(c) < len(CLASSES)}
    return truth_of_labels(labels, mat.stem, names=names)


FORMAT = Sbd()
