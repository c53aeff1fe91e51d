"""Objects followed through every video of a set, measured as its benchmark does, with and without corrections."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.failures import Failure, Failures
from segue.core.files import cache_folder
from segue.core.segmenter import Segmenter
from segue.core.types import Mask
from segue.data.io.image import read_image
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.video_sets import VideoSequence, read_video_set
from segue.evaluation.video_protocol import MeasuredTrack, corrected_mask, measure_sequence, worst_frame
from segue.jobs.finding import FinderFields
from segue.jobs.job import job
from segue.jobs.progress import progress
from segue.oneshot.finder import Finder
from segue.oneshot.search import label_map
from segue.oneshot.tracker import Tracker
from segue.session.config import JobResult, ModelChoice

LabelMap = NDArray[np.int32]


class TrackSetConfig(ModelChoice, FinderFields):
    """What ``segue track --data`` takes."""

    data: Annotated[Path, Field(description="Set of videos: DAVIS 2016, 2017, YouTube-VOS, or frames and masks.")]
    split: Annotated[str, Field(description="Part of a DAVIS.")] = "val"
    method: Annotated[Literal["outline", "flow"], Field(description="The model's outline, or motion alone.")] = (
        "outline"
    )
    limit: Annotated[int | None, Field(description="Videos at most.", ge=1)] = None
    corrections: Annotated[
        int, Field(description="Also correct the worst frame so many times by robot clicks, J&F after each.", ge=0)
    ] = 0
    strict: Annotated[bool, Field(description="Stop at the first video that fails.")] = False
    journal: Annotated[
        Path | None, Field(description="Where finished videos are kept until the end; in the user's cache without it.")
    ] = None


class CorrectedSet(JobResult):
    """J&F in per cent after so many key frames a video, and the robot's mean clicks a video until then."""

    key_frames: int
    jf: float
    clicks: float


class TrackSetResult(JobResult):
    """Means over all objects in per cent as DAVIS prints them, frames per second, every object, and the ``curve`` of
    corrections."""

    model: str
    data: Path
    sequences: int
    objects: int
    jf: float
    j_mean: float
    j_recall: float
    j_decay: float
    f_mean: float
    f_recall: float
    f_decay: float
    fps: float
    curve: tuple[CorrectedSet, ...]
    tracks: tuple[MeasuredTrack, ...]
    failed: tuple[Failure, ...]


@job(TrackSetConfig)
def track_set(config: TrackSetConfig) -> TrackSetResult:
    """Follow the objects of every video from their given masks and measure J and F, object by object.

    Finished videos are on disk at once: a run that was killed goes on where it stopped. With ``corrections`` the frame
    with the least J is corrected by robot clicks until its IoU is 0.9, becomes a key frame, and the video is followed
    anew. Corrected frames stay among those that are measured.

    Raises ``DataError`` for a folder that is no set. Source: DAVIS 2016, 2017 and YouTube-VOS, semi-supervised.
    """
    sequences = read_video_set(config.data, config.split)[: config.limit]
    model = config.load()
    seeker = config.finder(model)
    digest = job_digest({**config.model_dump(mode="json", exclude={"journal", "limit"}), "w": model.weights_digest()})
    rows, failures = list[dict[str, Any]](), Failures(config.strict)
    with ResumeLog(config.journal or cache_folder("track") / f"{digest}.jsonl", digest) as journal:
        for sequence in progress(sequences, len(sequences), "track", "videos"):
            with failures.guard(sequence.name):
                if sequence.name not in journal:
                    journal.add(sequence.name, _rounds(seeker, sequence, config))
                rows.append(journal[sequence.name])
        failed = failures.check(len(rows))
        journal.remove()
    return _result(config, rows, failed)


def _rounds(seeker: Finder, sequence: VideoSequence, config: TrackSetConfig) -> dict[str, Any]:
    """One video: without corrections, then after each."""
    keys: dict[int, dict[int, Mask]] = {}
    rounds, clicks = list[dict[str, Any]](), 0
    for _ in range(config.corrections + 1):
        answers, seconds = followed(seeker, sequence, keys, refine=config.method == "outline")
        tracks = measure_sequence(sequence, answers)
        rounds.append({"tracks": [t.to_json() for t in tracks], "clicks": clicks, "seconds": seconds})
        worst = worst_frame(tracks, list(keys))
        if worst is None:
            break
        if len(rounds) <= config.corrections:
            keys[worst], more = _corrected(seeker.inner, sequence, worst, answers[worst])
            clicks += more
    return {"rounds": rounds, "frames": len(sequence.frames)}


def followed(
    seeker: Finder, sequence: VideoSequence, keys: Mapping[int, Mapping[int, Mask]], *, refine: bool = True
) -> tuple[dict[int, LabelMap], float]:
    """(label map (H, W) of every frame after the first given one, seconds): the objects of a video from their given
    masks, each beginning at its own frame, with ``keys`` as further masks by frame and label."""
    start = min(sequence.objects.values())
    image = read_image(sequence.frames[start])
    tracker = Tracker(seeker, image, _given(sequence, start), refine=refine)
    for frame, masks in keys.items():
        tracker.add_reference(read_image(sequence.frames[frame]), masks)
    answers, seconds = dict[int, LabelMap](), 0.0
    for frame in range(start + 1, len(sequence.frames)):
        image = read_image(sequence.frames[frame])
        began = time.perf_counter()
        said = {label: step.probability for label, step in tracker.step(image).items()}
        for label, mask in {**keys.get(frame, {}), **_given(sequence, frame)}.items():
            tracker.correct(label, mask)
            said[label] = mask.astype(np.float32)
        answers[frame] = label_map(list(said.items()), image.shape)
        seconds += time.perf_counter() - began
    return answers, seconds


def _given(sequence: VideoSequence, frame: int) -> dict[int, Mask]:
    wanted = [label for label, first in sequence.objects.items() if first == frame]
    labels = sequence.labels(frame) if wanted else None
    return {label: labels == label for label in wanted if labels is not None}


def _corrected(model: Segmenter, sequence: VideoSequence, frame: int, answer: LabelMap) -> tuple[dict[int, Mask], int]:
    image, target = read_image(sequence.frames[frame]), sequence.labels(frame)
    there = [label for label, first in sequence.objects.items() if first < frame]
    masks = {label: corrected_mask(model, image, answer == label, target == label) for label in there}
    return {label: mask for label, (mask, _) in masks.items()}, sum(count for _, count in masks.values())


def _result(config: TrackSetConfig, rows: Sequence[Mapping[str, Any]], failed: tuple[Failure, ...]) -> TrackSetResult:
    tracks = [MeasuredTrack.from_json(t) for row in rows for t in row["rounds"][0]["tracks"]]
    names = ("jf", "j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay")
    seconds = sum(row["rounds"][0]["seconds"] for row in rows)
    return TrackSetResult(
        model=config.model,
        data=config.data,
        sequences=len(rows),
        objects=len(tracks),
        **{name: round(float(np.mean([getattr(t, name) for t in tracks])), 2) for name in names},
        fps=round(sum(row["frames"] - 1 for row in rows) / max(seconds, 1e-9), 3),
        curve=tuple(_after(rows, count) for count in range(config.corrections + 1)),
        tracks=tuple(tracks),
        failed=failed,
    )


def _after(rows: Sequence[Mapping[str, Any]], count: int) -> CorrectedSet:
    """The set after ``count`` key frames a video; a video whose frames are all corrected keeps its last figures."""
    last = [row["rounds"][min(count, len(row["rounds"]) - 1)] for row in rows]
    jf = float(np.mean([t["jf"] for one in last for t in one["tracks"]]))
    return CorrectedSet(key_frames=count, jf=round(jf, 2), clicks=round(float(np.mean([o["clicks"] for o in last])), 2))
