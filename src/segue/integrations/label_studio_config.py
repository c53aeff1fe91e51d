"""What a Label Studio project draws with, and what its smart tools sent: labelling interface and context."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segue.core.errors import ConfigError, InputError
from segue.core.types import Box, Click, Prompt

_ANSWERS = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels"}
_OBJECT = "object"


@dataclass(frozen=True)
class Interface:
    """How answers are drawn: the control tag's name, its result type, the image tag's name, the task field that
    holds the image, and the labels that the control has.

    >>> Interface.from_config('<View><Image name="i" value="$photo"/><BrushLabels name="b" toName="i"/></View>').field
    'photo'
    """

    control: str
    kind: str
    image: str
    field: str
    labels: tuple[str, ...]

    @classmethod
    def from_config(cls, label_config: str) -> Interface:
        """From the labelling interface; brushes before polygons. Raises ``ConfigError`` without either."""
        try:
            root = ET.fromstring(label_config)
        except ET.ParseError as error:
            raise ConfigError(
                f"a labelling interface that is no XML ({error})", "the project's label_config"
            ) from error
        images = {tag.get("name", ""): tag.get("value", "$image").removeprefix("$") for tag in root.iter("Image")}
        for name, kind in _ANSWERS.items():
            for tag in root.iter(name):
                target = tag.get("toName", "")
                if target in images:
                    labels = tuple(label.get("value", "") for label in tag.iter("Label"))
                    return cls(tag.get("name", ""), kind, target, images[target], labels)
        raise ConfigError(
            "a labelling interface without BrushLabels or PolygonLabels on an image",
            "one of them, to draw the answer with",
            'add <BrushLabels name="brush" toName="image">',
        ) from None


def prompts_of(context: Sequence[Mapping[str, Any]]) -> tuple[list[Prompt], str, tuple[int, int]]:
    """The smart tools' results -> prompts in original pixels, the label they carry, and the image's (H, W).

    Rectangles come first, then key points; ``is_positive`` 0 is a background click. Raises ``InputError`` for a
    result without size or without any smart shape.

    >>> point = {"type": "keypointlabels", "original_width": 200, "original_height": 100, "is_positive": 1,
    ...          "value": {"x": 50, "y": 10, "keypointlabels": ["cat"]}}
    >>> prompts_of([point])
    ([Click(x=100.0, y=10.0, positive=True)], 'cat', (100, 200))
    """
    boxes: list[Prompt] = []
    clicks: list[Prompt] = []
    label, size = "", (0, 0)
    for result in context:
        kind, value = str(result.get("type", "")), result.get("value", {})
        if not kind.startswith(("keypoint", "rectangle")):
            continue
        try:
            size = int(result["original_height"]), int(result["original_width"])
            x, y = float(value["x"]) * size[1] / 100, float(value["y"]) * size[0] / 100
            if kind.startswith("keypoint"):
                x, y = min(max(x, 0.0), size[1] - 1e-3), min(max(y, 0.0), size[0] - 1e-3)
                clicks.append(Click(x, y, bool(int(result.get("is_positive", 1)))))
            else:
                boxes.append(
                    Box(x, y, x + float(value["width"]) * size[1] / 100, y + float(value["height"]) * size[0] / 100)
                )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"a {kind} that does not read ({error!r})", "x, y in per cent, original_width and original_height"
            ) from error
        label = str((value.get(kind) or [label or _OBJECT])[0])
    if not boxes and not clicks:
        raise InputError("a context without smart key points or rectangles", "at least one of them")
    return [*boxes, *clicks], label, size
