"""Long work in a process of its own, so that clicks stay quick: ``python -m segue.annotator.task REQUEST.json``.

Each line of its output is a JSON object: progress, a find, or the result.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.annotator.child import carry_out, say
from segue.annotator.codec import Packed, pack, unpack
from segue.core.errors import SegueError
from segue.core.types import Reference
from segue.data.io.image import read_image
from segue.jobs.adapt import adapt
from segue.metrics.overlap import iou
from segue.oneshot.search import MOST, finder, label_matches, search
from segue.session.config import ModelChoice
from segue.training.config import AdaptConfig

SAME = 0.5  # IoU with the example above which what is found in its own image is itself


def run_adapt(request: Mapping[str, Any]) -> None:
    """Train an adapter; the server reads the report from its folder."""
    config = AdaptConfig.from_fields(**request["config"])

    def watch(row: Mapping[str, float]) -> None:
        share = min(1.0, row["minutes"] / config.minutes)
        stops = f"{row['noc']:.2f} clicks an object on the images it stops by" if "noc" in row else "Learning from all"
        say(progress=0.1 + 0.8 * share, message=stops)

    say(progress=0.02, message="Counting the clicks that the model needs now")
    adapt(config, on_row=watch)


def run_find(request: Mapping[str, Any]) -> None:
    """Look for the reference in every image of the request."""
    model = ModelChoice.from_fields(**request["model"]).load()
    seeker = finder(model)
    image = read_image(request["reference"])
    x0, y0, x1, y1 = request["mask"]["box"]
    packed = Packed((x0, y0, x1, y1), 0, base64.b64decode(request["mask"]["data"]))
    reference = {1: Reference(image, unpack(packed, image.shape[:2]))}
    wanted, most = request["images"], MOST if request.get("every") else 1
    for number, (image_id, path) in enumerate(wanted):
        say(progress=number / len(wanted), message=f"{number} of {len(wanted)} images")
        try:
            pixels = read_image(path, request["max_pixels"])
        except SegueError:
            continue  # the page names an image that does not read when it is opened
        hits, _ = label_matches(search(seeker, pixels, reference, most), seeker.threshold, pixels.shape[:2], most)
        example = reference[1].mask if most > 1 and path == request["reference"] else None
        for hit in hits:
            if not hit.mask.any() or (example is not None and iou(hit.mask, example) > SAME):
                continue
            found = pack(hit.mask)
            data = base64.b64encode(found.data).decode()
            say(found=image_id, score=hit.score, box=found.box, area=found.area, data=data)


if __name__ == "__main__":
    sys.exit(carry_out(Path(sys.argv[1]), {"adapt": run_adapt, "find": run_find}))
