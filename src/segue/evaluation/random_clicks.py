"""Quality when several clicks are given at once, at random places: ClickAdapter's figure 5."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from segue.core.errors import DataError
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, digest
from segue.data.io.resume_log import ResumeLog
from segue.data.record import AnnotatedImage, Sample
from segue.metrics.boundary import boundary_iou
from segue.session.session import Session


def image_key(image: Image, target: AnnotatedImage) -> str:
    """A digest of an image and its masks."""
    ignore_mask = np.zeros(0, bool) if target.ignore_mask is None else target.ignore_mask
    return digest(image, ignore_mask, *(i.mask for i in target.annotations))[:32]


def random_clicks_quality(
    model: Segmenter,
    samples: Iterable[Sample],
    counts: Sequence[int],
    seed: int = 0,
    rows: ResumeLog | None = None,
    *,
    threshold: float = 0.5,
    only: Collection[str] | None = None,
) -> list[float]:
    """mbIoU when k positive and k negative clicks are given at once, at random places, for each k of ``counts``, which
    rise.

    Masks are probabilities above ``threshold``; ``only`` names the objects that count (all without it). What ``rows``
    hold already is not done again. Raises ``DataError`` where no object has pixels on and off it.
    Source: ClickAdapter, figure 5 (after DIOS: positive clicks inside the object, negative ones outside).
    """
    values: list[list[float]] = []
    for sample in samples:
        image, target = sample.read()
        names = [a.id for a in target.annotations if only is None or a.id in only]
        chosen = "" if only is None else f" {threshold} {names}"
        key = f"{image_key(image, target)} random {seed} {list(counts)}{chosen}"
        if rows is None or key not in rows:
            rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
            found = list(_one_image(model, image, target, counts, rng, threshold, names))
            values += found
            if rows is not None:
                rows.add(key, {"objects": found})
        else:
            values += rows[key]["objects"]
    if not values:
        raise DataError("no object to click on and off at random", "a mask that leaves some of the image out")
    return [float(v) for v in np.nanmean(np.asarray(values), 0)]


def _one_image(
    model: Segmenter,
    image: Image,
    target: AnnotatedImage,
    counts: Sequence[int],
    rng: np.random.Generator,
    threshold: float,
    names: Collection[str],
) -> Iterator[list[float]]:
    """For each object, its boundary IoU at each of ``counts``; the next count's clicks include those of the last."""
    features = None
    for annotation in target.annotations:
        clicks: list[Click] = []
        mask = annotation.mask
        outside = ~mask if target.ignore_mask is None else ~mask & ~target.ignore_mask
        if annotation.id not in names or not mask.any() or not outside.any():
            continue
        values = []
        for k in counts:
            while len(clicks) < 2 * k:
                positive = len(clicks) % 2 == 0
                ys, xs = np.nonzero(mask if positive else outside)
                pick = int(rng.integers(len(ys)))
                clicks.append(Click(int(xs[pick]), int(ys[pick]), positive))
            session = Session(model, image, features=features, threshold=threshold)
            features = session.features
            values.append(boundary_iou(session.add(*clicks), mask, target.ignore_mask))
        yield values
