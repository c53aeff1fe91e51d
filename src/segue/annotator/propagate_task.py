"""Objects carried through a clip in a process of its own: ``python -m segue.annotator.propagate_task REQUEST.json``.

Each frame is encoded once for all objects of a pass.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segue.annotator.child import carry_out, say
from segue.annotator.codec import Packed, pack, unpack
from segue.annotator.propagation import Span
from segue.core.errors import ImageError
from segue.core.types import Image, Mask
from segue.data.io.clip import Clip, open_clip
from segue.oneshot.finder import Finder
from segue.oneshot.search import finder, label_map
from segue.oneshot.tracker import Tracked, Tracker
from segue.session.config import ModelChoice

REFERENCES = 3  # other key frames of an object that help to recognise it
Keys = Mapping[int, Mapping[int, Mask]]  # label -> frame -> mask


def propagate(request: Mapping[str, Any]) -> None:
    """Fill the spans of the request; every frame is said as soon as it is known."""
    say(progress=0.0, message="Opening the clip")
    with open_clip(Path(request["clip"]), request["max_pixels"], request["axis"]) as clip:
        keys: dict[int, dict[int, Mask]] = {}
        for one in request["keys"]:
            x0, y0, x1, y1 = one["box"]
            packed = Packed((x0, y0, x1, y1), one["area"], base64.b64decode(one["data"]))
            keys.setdefault(one["label"], {})[one["frame"]] = unpack(packed, clip.size)
        seeker = finder(ModelChoice.from_fields(**request["model"]).load())
        spans = [Span(*span) for span in request["spans"]]
        walks = [Walk(clip, seeker, keys, some) for some in passes(spans)]
        total, done, began = sum(len(walk.frames) for walk in walks), 0, time.perf_counter()
        for walk in walks:
            for _ in walk:
                done += 1
                rate = done / (time.perf_counter() - began)
                left = round((total - done) / rate)
                pace = f"{rate:.1f} a second, {left // 60}:{left % 60:02d} left"
                say(progress=done / total, message=f"{done} of {total} frames · {pace}")


def passes(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans that are walked together: forward, backward, and those whose object has to be looked for first.

    >>> [len(some) for some in passes([Span(1, 0, 5), Span(2, 1, 5), Span(1, 9, 6)])]
    [2, 1]
    """
    kinds = [(1, False), (-1, False), (1, True)]
    groups = [[span for span in spans if (span.step, span.lost) == kind] for kind in kinds]
    return [group for group in groups if group]


class Walk:
    """One pass through the clip; iterating does the work of one frame after the other."""

    def __init__(self, clip: Clip, seeker: Finder, keys: Keys, spans: Sequence[Span]) -> None:
        self.clip, self.seeker, self.keys, self.spans = clip, seeker, keys, spans
        self.step = spans[0].step
        touched = {frame for span in spans for frame in range(span.start, span.end + self.step, self.step)}
        self.frames = sorted(touched - {-1}, reverse=self.step < 0)

    def __iter__(self) -> Iterator[int]:
        tracker: Tracker | None = None
        before = -2
        for frame in self.frames:
            image = self._read(frame)
            if image is not None:
                active = {span.label for span in self.spans if frame in span}
                starting = [span for span in self.spans if span.start == frame and not span.lost]
                if tracker is None or abs(frame - before) > 1:
                    tracker = self._fresh(image, active)
                    answers = tracker.step(image, active) if active else {}
                else:
                    answers = tracker.step(image, active)
                for span in starting:
                    tracker.correct(span.label, self.keys[span.label][frame])
                    self._recall(tracker, span.label, frame)
                if active:
                    self._tell(frame, answers)
                before = frame
            elif tracker is not None:
                before = frame  # the object goes on from the frame before
            yield frame

    def _read(self, frame: int) -> Image | None:
        try:
            return self.clip.read(frame)
        except ImageError:
            say(broken=frame)
            return None

    def _fresh(self, image: Image, active: set[int]) -> Tracker:
        """A tracker that begins at ``image``; what is ``active`` there is lost, and known from its key frames."""
        tracker = Tracker(self.seeker, image, {})
        for label in active:
            for number in sorted(self.keys[label])[:1]:
                tracker = Tracker(self.seeker, self.clip.read(number), {label: self.keys[label][number]})
        for label in active:
            tracker.correct(label, np.zeros(self.clip.size, bool))
            self._recall(tracker, label, -1)
        return tracker

    def _recall(self, tracker: Tracker, label: int, frame: int) -> None:
        """Other key frames of an object, the nearest first, show what it looks like elsewhere."""
        others = sorted((k for k in self.keys[label] if k != frame), key=lambda k: abs(k - frame))
        for number in others[:REFERENCES]:
            image = self._read(number)
            if image is not None:
                tracker.add_reference(image, {label: self.keys[label][number]})

    def _tell(self, frame: int, answers: Mapping[int, Tracked]) -> None:
        labels = label_map([(label, one.probability) for label, one in answers.items()], self.clip.size)
        objects = {}
        for label, one in answers.items():
            packed = pack(labels == label)
            score = round(one.score, 4) if packed.area else 0.0
            objects[label] = {"box": packed.box, "area": packed.area, "data": packed.text, "score": score}
        say(frame=frame, objects=objects)


if __name__ == "__main__":
    sys.exit(carry_out(Path(sys.argv[1]), {"propagate": propagate}))
