"""One object, a whole video: masks for every frame, and how right they are where the truth is known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field, field_validator

from segue.core.errors import ConfigError, DataError
from segue.core.files import write_text
from segue.core.types import Features, Image, Mask, Reference
from segue.data.io.drawing import TINTS, overlay
from segue.data.io.image import find_images, open_image, read_labels, read_mask, write_image, write_labels
from segue.data.io.video import Video, frame_rate, write_video
from segue.jobs.job import job
from segue.jobs.output import Force, claim_output
from segue.jobs.progress import progress
from segue.jobs.reference import ReferenceChoice, reference_clicks, scale_clicks
from segue.metrics.video import contour_accuracy, region_similarity
from segue.oneshot.finder import Finder
from segue.oneshot.search import LabelMap, finder, label_map
from segue.oneshot.tracker import Tracked, Tracker
from segue.session.config import CommandLine, JobResult

MASKS, OVERLAYS, RESULTS = "masks", "overlays", "results.json"


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
    frame: Annotated[int | None, Field(description="Number of the reference among the frames, from 0.", ge=0)] = None
    video: Annotated[Path | None, Field(description="Also an .mp4 of all frames with their masks drawn.")] = None
    overlays: Annotated[bool, Field(description="Also write every frame with its mask drawn on it.")] = False
    force: Force = False

    @field_validator("video")
    @classmethod
    def _mp4(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != ".mp4":
            raise ValueError("a video is written as H.264; name it .mp4")
        return path

    @property
    def in_video(self) -> bool:
        """Whether the reference is a frame of the very file that is tracked."""
        return self.frames.is_file() and self.reference.exists() and self.reference.samefile(self.frames)

    def start(self, paths: Sequence[Path]) -> int:
        """The reference's place among the frames. Raises ``ConfigError`` for a number beyond them."""
        if self.frame is None:
            return next((i for i, path in enumerate(paths) if path.resolve() == self.reference.resolve()), 0)
        if self.frame >= (count := len(paths) if self.frames.is_dir() else _pages(self.frames)):
            raise ConfigError(f"frame {self.frame} of {self.frames}", f"a number below {count}")
        return self.frame


def _pages(path: Path) -> int:
    with open_image(path) as file:
        return file.pages


class TrackedObject(JobResult):
    """One object in one frame: which of the reference's, how sure, and whether it was lost and found ``again``."""

    object: int
    score: float
    again: bool


class TrackedFrame(JobResult):
    """One frame; ``j`` and ``f`` in [0, 1] where its true mask is known and it was not ``given``."""

    frame: str
    seconds: float
    given: bool
    objects: tuple[TrackedObject, ...]
    j: float | None = None
    f: float | None = None


class TrackResult(JobResult):
    """What ``segue track`` did, as ``results.json`` holds it: frames per second (reading and writing apart), and the
    means of ``j``, ``f`` and both in per cent."""

    model: str
    frames: int
    method: str
    fps: float | None
    j: float | None = None
    f: float | None = None
    jf: float | None = None
    rows: tuple[TrackedFrame, ...]


@job(TrackConfig)
def track(config: TrackConfig) -> TrackResult:
    """Follow the reference's objects; write ``masks/<frame>.png`` and ``results.json``.

    A mask is 0 and 255 for one object, the reference's labels for several. Where the reference is a frame of the
    folder, or number ``frame`` of the frames, its objects are followed from there to the end, then back to the
    beginning; it may be the video itself, or another file of that frame's picture. Its mask is the given one and is
    not measured, as in DAVIS.

    Source: PerSAM (Zhang et al., 2023), section 4.2; J, F as DAVIS 2016 and 2017.
    """
    claim_output(config.output, (MASKS, OVERLAYS, RESULTS), force=config.force)
    if config.video is not None:
        claim_output(config.video.parent, (config.video.name,), force=config.force)
    targets, paths = _target_files(config.target), find_images([config.frames]) if config.frames.is_dir() else []
    video = Video(config.frames)
    video.start = start = config.start(paths)
    frames = len(paths) or (_pages(config.frames) if start else 0)  # 0 where reading them all will tell
    ahead = frames - start  # frames ahead of the reference, itself included
    seeker = finder(config.load())
    references = config.examples(seeker.inner, start if config.in_video else 0)
    first = next(iter(references.values())).image
    rows: list[TrackedFrame] = []
    followers = {label: _follower(config, seeker, reference) for label, reference in references.items()}
    for count, (name, frame) in enumerate(progress(video, frames or None, "track", "frames")):
        if start and count == ahead:  # back from the reference
            followers = {label: _follower(config, seeker, reference) for label, reference in references.items()}
        index = frames - 1 - count if start and count >= ahead else start + count
        began = time.perf_counter()
        given = count == 0 and frame.shape == first.shape and bool((frame == first).all())
        if given:
            steps = dict[int, Tracked]()
            labels = label_map([(k, r.mask.astype(np.float32)) for k, r in references.items()], first.shape)
        else:
            features = seeker.encode([frame])
            steps = {label: follower.step(features) for label, follower in followers.items()}
            labels = label_map([(k, s.probability) for k, s in steps.items()], frame.shape)
        seconds = time.perf_counter() - began
        _write(config, name, frame, labels, len(references))
        target = None if given or not targets else _target(targets, name, index)
        rows.append(_row(name, seconds, given, steps, labels > 0, target))
    rows = [*reversed(rows[ahead:]), *rows[:ahead]] if start else rows
    result = TrackResult(model=config.model, frames=len(rows), method=config.method, rows=tuple(rows), **_means(rows))
    if config.video is not None:
        drawn = (_drawn(frame, read_labels(_mask_file(config, name))) for name, frame in Video(config.frames))
        write_video(config.video, drawn, frame_rate(config.frames))
    write_text(config.output / RESULTS, json.dumps(result.to_json(), indent=1))
    return result


def _row(
    name: str, seconds: float, given: bool, steps: Mapping[int, Tracked], mask: Mask, target: Mask | None
) -> TrackedFrame:
    return TrackedFrame(
        frame=name,
        seconds=round(seconds, 4),
        given=given,
        objects=tuple(
            TrackedObject(object=label, score=round(step.score, 4), again=step.again) for label, step in steps.items()
        ),
        j=None if target is None else round(region_similarity(mask, target), 4),
        f=None if target is None else round(contour_accuracy(mask, target), 4),
    )


def _means(rows: Sequence[TrackedFrame]) -> dict[str, float | None]:
    """Frames per second and the measures in per cent, over the frames that were answered."""
    answered = [row for row in rows if not row.given]
    seconds = sum(row.seconds for row in answered)
    fps = round(len(answered) / seconds, 3) if seconds else None
    measured = [(row.j, row.f) for row in answered if row.j is not None and row.f is not None]
    if not measured:
        return {"fps": fps}
    j, f = (100 * float(np.mean(values)) for values in zip(*measured, strict=True))
    return {"fps": fps, "j": round(j, 2), "f": round(f, 2), "jf": round((j + f) / 2, 2)}


class Follower(Protocol):
    """What answers for one object, frame by frame."""

    def step(self, features: Features) -> Tracked: ...


class SameClicks:
    """The baseline: the clicks that segment the reference, at the same places of every frame."""

    def __init__(self, seeker: Finder, reference: Reference) -> None:
        self.model, self.clicks = seeker.inner, reference_clicks(seeker.inner, reference)
        self.size = reference.mask.shape

    def step(self, features: Features) -> Tracked:
        """The mask of the same clicks in the next frame."""
        clicks = scale_clicks(self.clicks, self.size, features.frame.size)
        prediction = self.model.decode(features, clicks)
        return Tracked(prediction.probability(), float(prediction.scores.max()), False)


def _follower(config: TrackConfig, seeker: Finder, reference: Reference) -> Follower:
    if config.method == "clicks":
        return SameClicks(seeker, reference)
    return Tracker(seeker, reference, refine=config.method == "outline")


def _write(config: TrackConfig, name: str, frame: Image, labels: LabelMap, objects: int) -> None:
    write_labels(_mask_file(config, name), labels if objects > 1 else labels > 0)
    if config.overlays:
        write_image(config.output / OVERLAYS / f"{name}.jpg", _drawn(frame, labels))


def _mask_file(config: TrackConfig, name: str) -> Path:
    return config.output / MASKS / f"{name}.png"


def _drawn(frame: Image, labels: LabelMap) -> Image:
    for index, label in enumerate(np.unique(labels[labels > 0])):
        frame = overlay(frame, labels == label, color=TINTS[index % len(TINTS)])
    return frame


def _target_files(folder: Path | None) -> dict[str, Path]:
    return {path.stem: path for path in find_images([folder])} if folder is not None else {}


def _target(files: Mapping[str, Path], name: str, index: int) -> Mask:
    """The true mask of a frame: of its name, or at its place in the order."""
    ordered = list(files.values())
    path = files.get(name) or (ordered[index] if index < len(ordered) else None)
    if path is None:
        raise DataError(f"frame {name} without a true mask", f"a mask named {name}.png, or one for each frame")
    return read_mask(path)
