"""Sets of videos with the masks of their objects: the layouts of DAVIS, YouTube-VOS, and plain folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.core.errors import DataError
from segue.core.files import read_text
from segue.data.io.image import Labels, find_images, read_labels

LAYOUTS = "JPEGImages and Annotations as DAVIS or YouTube-VOS have them, or folders with frames and masks"


@dataclass(frozen=True)
class VideoSequence:
    """One video: its ``frames`` in order, the ``masks`` by frame number, and the ``objects``, each with the number of
    the frame whose mask is given.

    ``merged``: every label is the same object (DAVIS 2016). ``whole``: the last frame counts too (YouTube-VOS).

    Source: DAVIS 2016 (Perazzi et al.), 2017 (Pont-Tuset et al.), YouTube-VOS (Xu et al., 2018).
    """

    name: str
    frames: tuple[Path, ...]
    masks: Mapping[int, Path]
    objects: Mapping[int, int]
    merged: bool = False
    whole: bool = False

    def labels(self, frame: int) -> Labels:
        """(H, W) int32 of a frame that has a mask; 255 (DAVIS's unlabelled pixels) is background."""
        labels = read_labels(self.masks[frame])
        if self.merged or set(np.unique(labels).tolist()) <= {0, 255}:  # a binary mask
            return np.minimum(labels, 1)
        return np.where(labels == 255, 0, labels)

    def counted(self, label: int) -> list[int]:
        """The frames on which an object is measured: those with a mask after the given one, in DAVIS without the
        last of the video."""
        last = len(self.frames) if self.whole else len(self.frames) - 1
        return [frame for frame in sorted(self.masks) if self.objects[label] < frame < last]


def read_video_set(folder: Path, split: str = "val") -> list[VideoSequence]:
    """The sequences of a set, by name. Raises ``DataError`` for a folder laid out otherwise, or damaged.

    DAVIS 2016 and 2017 differ by their list: ``ImageSets/2016`` (or ``480p``) merges all labels, ``ImageSets/2017``
    keeps identities; where both are there it is 2017's. YouTube-VOS has a ``meta.json``.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}, which is no folder", LAYOUTS)
    if (folder / "meta.json").is_file():
        sequences = _youtube(folder)
    elif (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir():
        sequences = _davis(folder, split)
    else:
        places = sorted(p for p in folder.iterdir() if (p / "frames").is_dir() and (p / "masks").is_dir())
        sequences = [_sequence(p.name, p / "frames", p / "masks") for p in places]
    if not sequences:
        raise DataError(f"{folder} without a video", LAYOUTS, "check that it is the folder that holds them")
    return sequences


def _davis(folder: Path, split: str) -> list[VideoSequence]:
    images, masks = (_resolution(folder / name) for name in ("JPEGImages", "Annotations"))
    lists = [(folder / "ImageSets" / year / f"{split}.txt", year != "2017") for year in ("2017", "2016", "480p")]
    for file, merged in lists:
        if file.is_file():
            lines = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
            names = list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))
            return [_sequence(name, images / name, masks / name, merged=merged) for name in names]
    if (folder / "ImageSets").is_dir():
        raise DataError(f"{folder} without a list of the split {split}", f"ImageSets/2017/{split}.txt or 2016's")
    names = sorted(p.name for p in masks.iterdir() if p.is_dir())
    return [_sequence(name, images / name, masks / name) for name in names]


def _resolution(folder: Path) -> Path:
    """The folder of the videos: that of 480p where there are several resolutions."""
    there = [folder / name for name in ("480p", "Full-Resolution") if (folder / name).is_dir()]
    return there[0] if there else folder


def _youtube(folder: Path) -> list[VideoSequence]:
    try:
        videos = json.loads(read_text(folder / "meta.json"))["videos"]
        firsts = {
            name: {int(label): str(one["frames"][0]) for label, one in video["objects"].items()}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{folder / 'meta.json'}, which does not read ({error})", "that of YouTube-VOS") from error
    places = folder / "JPEGImages", folder / "Annotations"
    return [_sequence(name, *(p / name for p in places), firsts=firsts[name]) for name in sorted(firsts)]


def _sequence(
    name: str, images: Path, masks: Path, *, merged: bool = False, firsts: Mapping[int, str] | None = None
) -> VideoSequence:
    for place in (images, masks):
        if not place.is_dir():
            raise DataError(f"the video {name} without {place}", "a folder of its frames and one of its masks")
    frames = tuple(sorted(find_images([images]), key=lambda path: path.stem))
    numbers = {path.stem: number for number, path in enumerate(frames)}
    by_frame = {numbers[path.stem]: path for path in find_images([masks]) if path.stem in numbers}
    if not by_frame:
        raise DataError(f"the video {name} without a mask of any of its frames", "masks with the frames' names")
    if firsts is not None:
        missing = [stem for stem in firsts.values() if numbers.get(stem) not in by_frame]
        if missing:
            raise DataError(f"the video {name} without frame {missing[0]} or its mask", "what meta.json names")
        return VideoSequence(name, frames, by_frame, {k: numbers[s] for k, s in firsts.items()}, whole=True)
    start = min(by_frame)
    blank = VideoSequence(name, frames, by_frame, {}, merged)
    objects = {int(label): start for label in np.unique(blank.labels(start)) if label}
    if not objects:
        raise DataError(f"the first mask of the video {name} without an object", "a label that is not 0")
    return VideoSequence(name, frames, by_frame, objects, merged)
