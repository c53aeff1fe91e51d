"""One object, a whole video: masks for every frame, and how right they are where the truth is known."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field

from segue.core.errors import DataError
from segue.core.files import write_bytes
from segue.core.types import Features, Image, Mask, Reference
from segue.data.io.drawing import overlay
from segue.data.io.image import find_images, read_mask, write_image, write_labels
from segue.data.io.video import Video
from segue.jobs.find import TINTS, ReferenceChoice, moved, same_clicks
from segue.jobs.job import job
from segue.metrics.video import contour_accuracy, region_similarity
from segue.oneshot.finder import Finder, finder
from segue.oneshot.tracker import Tracked, Tracker
from segue.session.config import CommandLine


class TrackConfig(ReferenceChoice):
    """What ``segue track`` takes: the reference frame with its mask, box or clicks, and ``frames``, a folder of
    pictures or a video file.

    ``target`` holds masks of equal stems, or as many files as there are frames. ``method`` "outline" lets the model
    draw what the labels of earlier frames say, "flow" leaves those labels as they are, "clicks" repeats the clicks
    that segment the reference (the baseline).
    """

    frames: Annotated[Path, Field(description="A folder of frames or a video file."), CommandLine(positional=True)]
    output: Annotated[Path, Field(description="The folder to write.")]
    target: Annotated[Path | None, Field(description="Folder of true masks to measure J and F against.")] = None
    method: Annotated[
        Literal["outline", "flow", "clicks"],
        Field(description="How: the model's outline, optical flow alone, or the same clicks again (the baseline)."),
    ] = "outline"
    overlays: Annotated[bool, Field(description="Also write every frame with its mask drawn on it.")] = False


@job(TrackConfig)
def track(config: TrackConfig) -> dict[str, Any]:
    """Follow the reference's objects; write ``masks/<frame>.png`` and ``results.json``, return what it holds.

    A mask is 0 and 255 for one object, the reference's labels for several. The first frame is the reference
    itself where it is the same picture: its mask is the given one and is not measured, as in DAVIS.

    Source: PerSAM (Zhang et al., 2023), section 4.2; J, F as DAVIS 2016 and 2017.
    """
    seeker = finder(config.load())
    references = config.examples(seeker.model)
    first = next(iter(references.values())).image
    targets = _truths(config.target) if config.target else {}
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        trackers = {k: _follower(config, seeker, r) for k, r in references.items()}
        for index, (name, frame) in enumerate(Video(config.frames)):
            began = time.perf_counter()
            given = index == 0 and frame.shape == first.shape and bool((frame == first).all())
            if given:
                labels, told = _given(references), {}
            else:
                features = seeker.encode([frame])
                told = {label: tracker.step(features) for label, tracker in trackers.items()}
                labels = _arranged(told, frame.shape[:2])
            seconds = time.perf_counter() - began
            _write(config, name, frame, labels, len(references))
            row = {"frame": name, "seconds": round(seconds, 4), "given": given}
            row["objects"] = [{"object": k, "score": round(t.score, 4), "again": t.again} for k, t in told.items()]
            if not given and targets:
                row |= _measured(labels > 0, _truth_of(targets, name, index))
            rows.append(row)
    result = {"model": config.model, "frames": len(rows), "method": config.method, **summary(rows), "rows": rows}
    write_bytes(config.output / "results.json", json.dumps(result, indent=1).encode())
    return result


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the frames that were answered, in per cent, and frames per second (reading and writing apart)."""
    answered = [r for r in rows if not r["given"]]
    seconds = sum(r["seconds"] for r in answered)
    done: dict[str, Any] = {"fps": round(len(answered) / seconds, 3) if seconds else None}
    measured = [r for r in answered if "j" in r]
    if measured:
        j, f = (100 * float(np.mean([r[k] for r in measured])) for k in ("j", "f"))
        done |= {"j": round(j, 2), "f": round(f, 2), "jf": round((j + f) / 2, 2)}
    return done


class Follower(Protocol):
    """What answers for one object, frame by frame."""

    def step(self, features: Features) -> Tracked: ...


class SameClicks:
    """The baseline: the clicks that segment the reference, at the same places of every frame."""

    def __init__(self, seeker: Finder, reference: Reference) -> None:
        self.model, self.clicks = seeker.model, same_clicks(seeker.model, reference)
        self.size = reference.mask.shape

    def step(self, features: Features) -> Tracked:
        """The mask of the same clicks in the next frame."""
        clicks = moved(self.clicks, self.size, features.frame.size)
        said = self.model.decode(features, clicks)
        return Tracked(said.probability(), float(said.scores.max()), False)


def _follower(config: TrackConfig, seeker: Finder, reference: Reference) -> Follower:
    if config.method == "clicks":
        return SameClicks(seeker, reference)
    return Tracker(seeker, reference, refine=config.method == "outline")


def _given(references: dict[int, Reference]) -> np.ndarray[Any, np.dtype[np.int32]]:
    labels = np.zeros(next(iter(references.values())).mask.shape, np.int32)
    for label, reference in references.items():
        labels[reference.mask] = label
    return labels


def _arranged(told: dict[int, Tracked], size: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.int32]]:
    labels, most = np.zeros(size, np.int32), np.full(size, 0.5, np.float32)
    for label, one in told.items():
        probability = one.probability.float().cpu().numpy()
        wins = probability > most
        labels[wins], most[wins] = label, probability[wins]
    return labels


def _write(
    config: TrackConfig, name: str, frame: Image, labels: np.ndarray[Any, np.dtype[np.int32]], objects: int
) -> None:
    write_labels(config.output / "masks" / f"{name}.png", labels if objects > 1 else labels > 0)
    if config.overlays:
        drawn = frame
        for index, label in enumerate(np.unique(labels[labels > 0])):
            drawn = overlay(drawn, labels == label, color=TINTS[index % len(TINTS)])
        write_image(config.output / "overlays" / f"{name}.jpg", drawn)


def _truths(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in find_images([folder])}


def _truth_of(targets: dict[str, Path], name: str, index: int) -> Mask:
    path = targets.get(name)
    if path is None:
        ordered = list(targets.values())
        if index >= len(ordered):
            raise DataError(f"frame {name} without a true mask", f"a mask named {name}.png, or one for each frame")
        path = ordered[index]
    return read_mask(path)


def _measured(mask: Mask, target: Mask) -> dict[str, float]:
    j, f = region_similarity(mask, target), contour_accuracy(mask, target)
    return {"j": round(j, 4), "f": round(f, 4)}
