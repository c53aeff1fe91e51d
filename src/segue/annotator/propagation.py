"""What a propagation is to do: which key frame is carried how far, in which direction."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["forward", "backward", "both", "between"]


@dataclass(frozen=True)
class Key:
    """A key frame of an object, told by its ``label``: a "mask", or that it is "gone" or "back" from there on."""

    label: int
    frame: int
    mark: str = "mask"


@dataclass(frozen=True)
class Span:
    """One object carried from the key frame ``start`` to the frame ``end``, itself included; ``lost`` where it has to
    be looked for first."""

    label: int
    start: int
    end: int
    lost: bool = False

    @property
    def step(self) -> int:
        """+1 forward, -1 backward."""
        return 1 if self.end > self.start else -1

    def __contains__(self, frame: int) -> bool:
        low, high = sorted((self.start + self.step, self.end))
        return low <= frame <= high


def plan(keys: Sequence[Key], frames: int, frame: int, direction: Direction) -> list[Span]:
    """The spans of all objects in a clip of ``frames``, asked for at ``frame``.

    Between two key frames each frame follows the nearer one, or with one direction the one that lies behind. "forward"
    begins at the last key frame up to ``frame``, "backward" at the first from it on; "between" fills the gaps on both
    sides of ``frame``'s key frame, the one after the last key frame up to the clip's end.

    >>> plan([Key(1, 2), Key(1, 7)], 10, 0, "both")
    [Span(label=1, start=2, end=0, lost=False), Span(label=1, start=2, end=4, lost=False), Span(label=1, start=7, end=5, lost=False), Span(label=1, start=7, end=9, lost=False)]
    """  # noqa: E501
    spans: list[Span] = []
    for label in dict.fromkeys(key.label for key in keys):
        own = sorted((key for key in keys if key.label == label), key=lambda key: key.frame)
        if any(key.mark == "mask" for key in own):
            spans += _spans(own, frames, frame, direction)
    return [span for span in spans if span.start != span.end]


def _spans(keys: Sequence[Key], frames: int, frame: int, direction: Direction) -> Iterator[Span]:
    at = [key.frame for key in keys]
    here = bisect.bisect_right(at, frame) - 1  # the last key frame up to this one
    from_here = bisect.bisect_left(at, frame)
    for number, (before, after) in enumerate(zip([None, *keys], [*keys, None], strict=True)):
        gap = number - 1  # the key frame before the gap
        wanted = {
            "both": True,
            "forward": before is not None and gap >= max(here, 0),
            "backward": after is not None and number <= min(from_here, len(keys) - 1),
            "between": before is not None and gap in (here, here - 1),
        }[direction]
        if wanted:
            yield from _gap(before, after, frames, direction)


def _gap(before: Key | None, after: Key | None, frames: int, direction: Direction) -> Iterator[Span]:
    """The frames between two key frames, or between one and the clip's end."""
    first = 0 if before is None else before.frame + 1
    last = frames - 1 if after is None else after.frame - 1
    if first > last or (before is not None and before.mark == "gone"):
        return
    ahead = before is not None and before.mark == "mask"
    back = after is not None and after.mark == "mask"
    if ahead and back:
        if direction == "forward":
            back = False
        elif direction == "backward":
            ahead = False
    if before is not None and ahead:
        yield Span(before.label, before.frame, (first + last) // 2 if back else last)
    if after is not None and back:
        yield Span(after.label, after.frame, (first + last) // 2 + 1 if ahead else first)
    if before is not None and before.mark == "back" and not back:
        yield Span(before.label, before.frame - 1, last, lost=True)
