"""Videos compared with their true masks, object by object, and the robot that corrects a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask
from segue.data.video_sets import VideoSequence
from segue.evaluation.robot import next_click
from segue.metrics.overlap import iou
from segue.metrics.video import contour_accuracy, decay, recall, region_similarity
from segue.session.config import JobResult
from segue.session.session import Session

MOST_CLICKS = 20


class MeasuredTrack(JobResult):
    """One object of one video: J and F on every counted frame in [0, 1], and mean, recall and decay of both in per
    cent."""

    sequence: str
    object: int
    frames: tuple[int, ...]
    j: tuple[float, ...]
    f: tuple[float, ...]
    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float
    f_recall: float
    f_decay: float
    jf: float


def measure_sequence(sequence: VideoSequence, answers: Mapping[int, NDArray[np.int32]]) -> list[MeasuredTrack]:
    """Every object of a video from ``answers``, the label map (H, W) of each counted frame: an object under another's
    label is wrong.

    Source: DAVIS 2017 (Pont-Tuset et al.), section 3; YouTube-VOS measures the annotated frames after
    an object's first.
    """
    measured: dict[int, list[tuple[int, float, float]]] = {label: [] for label in sequence.objects}
    counted = {label: set(sequence.counted(label)) for label in sequence.objects}
    for frame in sorted(set().union(*counted.values())):
        target = sequence.labels(frame)
        for label in sequence.objects:
            if frame in counted[label]:
                masks = answers[frame] == label, target == label
                measured[label].append((frame, region_similarity(*masks), contour_accuracy(*masks)))
    return [_summary(sequence.name, label, rows) for label, rows in measured.items() if rows]


def worst_frame(tracks: Sequence[MeasuredTrack], done: Sequence[int]) -> int | None:
    """The frame, not among those ``done``, on which the objects' mean J is least; None where all are done."""
    by_frame: dict[int, list[float]] = {}
    for track in tracks:
        for frame, j in zip(track.frames, track.j, strict=True):
            if frame not in done:
                by_frame.setdefault(frame, []).append(j)
    return min(by_frame, key=lambda frame: (float(np.mean(by_frame[frame])), frame), default=None)


def corrected_mask(model: Segmenter, image: Image, mask: Mask, target: Mask, least: float = 0.9) -> tuple[Mask, int]:
    """``mask`` (H, W) as the robot leaves it when it clicks until the IoU with ``target`` is ``least``, at most 20
    times, and how often it clicked; what is empty in truth is emptied without clicks."""
    if not target.any():
        return target.copy(), 0
    session, clicks = Session(model, image), list[Click]()
    if mask.any():
        session.set_mask(mask)
    while iou(mask, target) < least and len(clicks) < MOST_CLICKS:
        clicks.append(next_click(mask, target, None, clicks))
        mask = session.add(clicks[-1])
    return mask, len(clicks)


def _summary(name: str, label: int, rows: Sequence[tuple[int, float, float]]) -> MeasuredTrack:
    frames, j, f = zip(*rows, strict=True)
    figures = {
        f"{measure}_{kind}": round(100 * value, 2)
        for measure, values in (("j", j), ("f", f))
        for kind, value in (("mean", float(np.mean(values))), ("recall", recall(values)), ("decay", decay(values)))
    }
    each = {"j": tuple(round(v, 4) for v in j), "f": tuple(round(v, 4) for v in f)}
    jf = round(50 * float(np.mean(j) + np.mean(f)), 2)
    return MeasuredTrack(sequence=name, object=label, frames=frames, **each, **figures, jf=jf)
