"""nano's own calibration, to be made again whenever its weights change: `python lab/oneshot/calibrate_nano.py PHOTOS`.

Half of the subjects are objects of COCO photos pasted into other photos, half are boards, cakes and tools of which
there are several photos each; what shows neither is another photo of the training groups. Without `-o` the file goes
where the package ships it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from segue.data.formats.registry import open_data
from segue.data.record import Options, Sample
from segue.jobs.calibrate import CalibrateConfig, fit_calibration, run_trials
from segue.jobs.progress import progress
from segue.models.nano.patch_features import PATCH_STATISTICS
from segue.models.pretrained import shipped_file
from segue.oneshot.search import finder

ALIKE = {  # groups of photos with few things in them, and classes whose objects all look alike
    "microcontrollers": ("Arduino", "ESP8266", "Heltec", "Raspberry"),
    "kuih": ("karipap", "nona-manis"),
    "tools_rokey": ("Hammer", "Adjustable spanner", "Needle-nose pliers", "Gas wrench"),
}
PHOTOS, OTHERS = 90, 150  # of each such group, and of COCO beside them


def drawn(folder: Path, seed: int, most: int | None = None) -> Sequence[Sample]:
    """Up to `most` samples of a group, in an order that `seed` gives."""
    samples = list(open_data(folder, "auto", Options()).samples)
    random.Random(seed).shuffle(samples)
    return samples[:most]


def main() -> None:
    """Search, fit, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=shipped_file(PATCH_STATISTICS).with_suffix(".json"))
    parser.add_argument("--subjects", type=int, default=45, help="of either half")
    options = parser.parse_args()
    coco = options.photos / "coco_instances"
    same = tuple(name for names in ALIKE.values() for name in names)
    config = CalibrateConfig(data=(coco,), output=options.output, subjects=options.subjects, others=6)
    halves = [
        (config.model_copy(update={"seed": 1}), drawn(coco, 1)),
        (
            config.model_copy(update={"seed": 2, "same_class": same, "others": 5}),
            [s for group in ALIKE for s in drawn(options.photos / group, 2, PHOTOS)] + list(drawn(coco, 3, OTHERS)),
        ),
    ]
    seeker = finder(config.load())
    seeker.calibration = None
    trials = []
    for half, samples in halves:
        total = half.subjects * (half.own + half.others)
        trials += list(progress(run_trials(half, seeker, samples), total, "calibrate", "searches"))
    calibration, result = fit_calibration(config.model_copy(update={"subjects": 2 * options.subjects}), trials)
    calibration.save(options.output)
    print(result.model_dump_json(indent=1))


if __name__ == "__main__":
    main()
