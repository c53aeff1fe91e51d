"""Write the photos that a training keeps for validation as a data set for `segue evaluate`.

    python lab/nano/validation_split.py configs/nano.yaml --also kuih -o runs/validation
    segue evaluate --data runs/validation --json -

Of every photo up to three objects, the largest, of more than 0.5 % of it; one of facades, which are all
alike. Photos are as large as the training keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from segue.core.types import Image, Mask
from segue.data.formats.folder import Folder
from segue.data.record import Annotation, Sample
from segue.training.config import TrainConfig
from segue.training.packing import IGNORE, build_pack

ALIKE = ("building_facade",)


def photos(config: TrainConfig, also: Sequence[str] = ()) -> Iterator[tuple[str, Image, list[Mask], Mask]]:
    """Name, image, objects and void of every held-out photo, those without a large object left out."""
    pack = build_pack([config.data.root / name for name in (*config.data.folders, *also)], config.data.cache)
    for index in pack.held_out(config.data.held_out)[1]:
        photo = pack.photos[index]
        h, w = photo.size
        large = {k: box[0] for k, box in photo.objects.items() if box[0] > 0.005 * h * w}
        labels = pack.label_map(index)
        most = sorted(sorted(large), key=lambda k: -large[k])[: 1 if photo.group in ALIKE else 3]
        if most:
            image = np.array(pack.image(index))
            yield f"{photo.group}-{photo.stem}", image, [labels == k for k in most], labels == IGNORE


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of the training")
    parser.add_argument("--also", nargs="*", default=(), help="groups that it leaves out whole")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    samples = [
        Sample.from_arrays(name, image, [Annotation.from_mask(m, id=f"{name}#{k}") for k, m in enumerate(masks)], void)
        for name, image, masks, void in photos(TrainConfig.from_file(options.config), options.also)
    ]
    Folder().write(options.output, samples)
    print(f"{sum(len(s.load().annotations) for s in samples)} objects in {len(samples)} photos")


if __name__ == "__main__":
    main()
