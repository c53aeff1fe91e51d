"""What shapes a nano: its maps, the sizes of its network and how it zooms in. torch stays out of here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

EngineName: TypeAlias = Literal["auto", "onnx", "torch"]

MAPS = ("stride16", "stride8", "stride4", "embedding")  # what the decoder adds its prompts to
TAPS = ("backbone8", "backbone16", "backbone32")  # what references are compared in, beside them


@dataclass(frozen=True)
class NanoSizes:
    """Channels and blocks of the decoder at strides 16, 8 and 4; the embedding that clicks are compared in; the
    multiplier of the encoder's channels; whether the decoder is told which click is the newest."""

    channels: tuple[int, int, int] = (128, 64, 48)
    blocks: tuple[int, int, int] = (5, 4, 3)
    embedding: int = 32
    heads: int = 4
    width: float = 1.0
    newest: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True)
class ZoomPolicy:
    """When and how nano looks closer; lengths in pixels of the network's input.

    A region is encoded with its longer side at ``longest`` (0 never zooms in). It is ``expansion`` times the box of
    the mask and the positive prompts, at least ``min_crop`` longer sides of the photo, is left once its IoU with the
    wanted one drops under ``recompute_iou``, and only encoded if that shows the object ``gain`` times larger. A
    dialogue begins with a ``coarse_pass`` over the photo at that length (0 looks at the whole view), which chooses
    the region of the first answer where ``on_first_click``.
    """

    longest: int = 320
    coarse_pass: int = 256
    expansion: float = 1.4
    gain: float = 1.25
    min_crop: float = 0.25
    recompute_iou: float = 0.5
    on_first_click: bool = True


@dataclass(frozen=True)
class ClosePolicy:
    """How nano looks at a correction: what a later click changes is encoded once more at ``longest`` pixels (0 never
    does), at least ``min_crop`` longer sides of the photo; from click number ``corrections_from`` on, or at once on a
    mask brought from elsewhere, only the connected change that holds the click is taken over."""

    longest: int = 256
    min_crop: float = 0.12
    corrections_from: int = 6


GROUPS = {"zoom": ZoomPolicy, "close": ClosePolicy, "sizes": NanoSizes}
EARLIER = {  # single fields, by names of today and of folders that an earlier version saved
    **{field.name: f"zoom.{field.name}" for field in fields(ZoomPolicy) if field.name != "longest"},
    **{field.name: f"sizes.{field.name}" for field in fields(NanoSizes)},
    "corrections_from": "close.corrections_from",
    "glance": "zoom.coarse_pass",
    "margin": "zoom.expansion",
    "smallest": "zoom.min_crop",
    "eager": "zoom.on_first_click",
    "closest": "close.min_crop",
    "unsure": "redecode_below_iou",
}


def grouped(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of ``Nano`` with single fields of the groups, present names or earlier ones, put in their groups.

    >>> grouped({"longest": 64, "zoom": 0, "glance": 32, "closest": 0.1})
    {'longest': 64, 'zoom': {'longest': 0, 'coarse_pass': 32}, 'close': {'min_crop': 0.1}}
    """
    made: dict[str, Any] = {}
    for earlier, value in settings.items():
        name = EARLIER.get(earlier, earlier)
        group, _, field = name.rpartition(".")
        if name in GROUPS:
            given = (
                {"longest": value} if isinstance(value, int) else value if isinstance(value, Mapping) else vars(value)
            )
            made.setdefault(name, {}).update(given)
        elif group:
            made.setdefault(group, {})[field] = value
        else:
            made[name] = value
    return made
