"""One object, a whole video: masks for every frame, and how right they are where the truth is known."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field, field_validator

from segue.core.errors import ConfigError, DataError
from segue.core.files import write_text
from segue.core.types import Image, Mask, Reference, check_mask
from segue.data.io.drawing import TINTS, overlay
from segue.data.io.image import find_images, open_image, read_image, read_labels, write_image, write_labels
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

    ``target`` holds masks of equal stems, or as many files as there are frames; of several objects J and F are those of
    every object under its own label, then their mean. ``key_frames`` holds masks of further frames, named as these:
    each is taken as given where the video comes to it, and what it shows helps to recognise its objects from the start.
    ``method`` "outline" lets the model draw what motion and looks say, "flow" leaves that as it is, "clicks" repeats
    the clicks that segment the reference (the baseline).
    """

    frames: Annotated[Path, Field(description="A folder of frames or a video file."), CommandLine(positional=True)]
    output: Annotated[Path, Field(description="The folder to write.")]
    key_frames: Annotated[
        Path | None, Field(description="Folder of masks of further frames, named as the frames, as corrections.")
    ] = None
    target: Annotated[Path | None, Field(description="Folder of true masks to measure J and F against.")] = None
    method: Annotated[
        Literal["outline", "flow", "clicks"],
        Field(description="How: the model's outline, motion and looks alone, or the same clicks again (the baseline)."),
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
    """One frame; ``j`` and ``f`` in [0, 1], means over the objects, where its true mask is known and it was not
    ``given``."""

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
    targets, keys = _mask_files(config.target), _mask_files(config.key_frames)
    paths = find_images([config.frames]) if config.frames.is_dir() else []
    video = Video(config.frames)
    video.start = start = config.start(paths)
    frames = len(paths) or (_pages(config.frames) if start else 0)  # 0 where reading them all will tell
    ahead = frames - start  # frames ahead of the reference, itself included
    seeker = finder(config.load())
    references = config.examples(seeker.inner, start if config.in_video else 0)
    first = next(iter(references.values())).image
    follower = _follower(config, seeker, references, keys, paths)
    rows: list[TrackedFrame] = []
    for count, (name, frame) in enumerate(progress(video, frames or None, "track", "frames")):
        if start and count == ahead:  # back from the reference
            follower = _follower(config, seeker, references, keys, paths)
        index = frames - 1 - count if start and count >= ahead else start + count
        began = time.perf_counter()
        given = count == 0 and frame.shape == first.shape and bool((frame == first).all())
        steps = dict[int, Tracked]() if given else follower.step(frame)
        if given:
            labels = label_map([(k, r.mask.astype(np.float32)) for k, r in references.items()], first.shape)
        elif name in keys:
            given, labels = True, _labels(keys[name], frame)
            for label, mask in object_masks(labels, references).items():
                follower.correct(label, mask)
        else:
            labels = label_map([(k, s.probability) for k, s in steps.items()], frame.shape)
        seconds = time.perf_counter() - began
        _write(config, name, frame, labels, len(references))
        target = None if given or not targets else _target(targets, name, index, frame)
        measures = None if target is None else measured(labels, target, list(references))
        rows.append(_row(name, seconds, given, steps, measures))
    rows = [*reversed(rows[ahead:]), *rows[:ahead]] if start else rows
    result = TrackResult(model=config.model, frames=len(rows), method=config.method, rows=tuple(rows), **_means(rows))
    if config.video is not None:
        drawn = (_drawn(frame, read_labels(_mask_file(config, name))) for name, frame in Video(config.frames))
        write_video(config.video, drawn, frame_rate(config.frames))
    write_text(config.output / RESULTS, json.dumps(result.to_json(), indent=1))
    return result


def measured(labels: LabelMap, target: LabelMap, objects: Sequence[int]) -> tuple[float, float]:
    """J and F of two (H, W) label maps, each the mean over ``objects``: an object under another's label is wrong.

    Source: DAVIS 2017 (Pont-Tuset et al.), section 3.

    >>> labels = np.repeat(np.array([[1, 2]], np.int32), 8, 1).repeat(8, 0)
    >>> measured(labels, labels, [1, 2]), measured(labels, 3 - labels, [1, 2])[0]
    ((1.0, 1.0), 0.0)
    """
    answers, targets = object_masks(labels, objects), object_masks(target, objects)
    j = [region_similarity(answers[k], targets[k]) for k in objects]
    f = [contour_accuracy(answers[k], targets[k]) for k in objects]
    return float(np.mean(j)), float(np.mean(f))


def object_masks(labels: LabelMap, objects: Iterable[int]) -> dict[int, Mask]:
    """The (H, W) mask of every object in a label map; a single object is all that is not background."""
    every = list(objects)
    return {k: labels == k for k in every} if len(every) > 1 else {every[0]: labels > 0}


def _row(
    name: str, seconds: float, given: bool, steps: Mapping[int, Tracked], measures: tuple[float, float] | None
) -> TrackedFrame:
    return TrackedFrame(
        frame=name,
        seconds=round(seconds, 4),
        given=given,
        objects=tuple(
            TrackedObject(object=label, score=round(step.score, 4), again=step.again) for label, step in steps.items()
        ),
        j=None if measures is None else round(measures[0], 4),
        f=None if measures is None else round(measures[1], 4),
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
    """What answers for all objects, frame by frame."""

    def step(self, image: Image) -> Mapping[int, Tracked]: ...

    def correct(self, label: int, mask: Mask) -> None: ...


class SameClicks:
    """The baseline: the clicks that segment the reference, at the same places of every frame."""

    def __init__(self, seeker: Finder, references: Mapping[int, Reference]) -> None:
        self.model = seeker.inner
        self.clicks = {
            label: (reference_clicks(self.model, reference), reference.mask.shape)
            for label, reference in references.items()
        }

    def step(self, image: Image) -> Mapping[int, Tracked]:
        """The masks of the same clicks in the next frame."""
        features = self.model.encode([image])
        answers = {
            label: self.model.decode(features, scale_clicks(clicks, size, image.shape[:2]))
            for label, (clicks, size) in self.clicks.items()
        }
        return {label: Tracked(said.probability(), float(said.scores.max())) for label, said in answers.items()}

    def correct(self, label: int, mask: Mask) -> None:
        """The baseline learns nothing from corrections."""


def _follower(
    config: TrackConfig,
    seeker: Finder,
    references: Mapping[int, Reference],
    keys: Mapping[str, Path],
    paths: Sequence[Path],
) -> Follower:
    """What follows the objects from the reference on; it has seen the key frames of a folder."""
    if config.method == "clicks":
        return SameClicks(seeker, references)
    image = next(iter(references.values())).image
    masks = {label: reference.mask for label, reference in references.items()}
    tracker = Tracker(seeker, image, masks, refine=config.method == "outline")
    for path in paths:
        if path.stem in keys:
            frame = read_image(path)
            labels = _labels(keys[path.stem], frame)
            tracker.add_reference(frame, object_masks(labels, references))
    return tracker


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


def _mask_files(folder: Path | None) -> dict[str, Path]:
    return {path.stem: path for path in find_images([folder])} if folder is not None else {}


def _target(files: Mapping[str, Path], name: str, index: int, frame: Image) -> LabelMap:
    """The true labels of a frame: of its name, or at its place in the order."""
    ordered = list(files.values())
    path = files.get(name) or (ordered[index] if index < len(ordered) else None)
    if path is None:
        raise DataError(f"frame {name} without a true mask", f"a mask named {name}.png, or one for each frame")
    return _labels(path, frame)


def _labels(path: Path, frame: Image) -> LabelMap:
    """The labels of a mask file of a frame, which has the frame's size."""
    labels = np.asarray(read_labels(path), np.int32)
    check_mask(labels > 0, frame.shape[:2])
    return labels
