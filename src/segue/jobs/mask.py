"""One image, any mix of prompts, one mask."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from segue.core.errors import ConfigError
from segue.core.types import Box, Click, Prompt, Text
from segue.data.io.drawing import overlay
from segue.data.io.image import MAX_PIXELS, SUFFIXES, read_image, write_image, write_labels
from segue.data.io.tiff import is_large_tiff
from segue.jobs.job import job
from segue.jobs.mask_large import mask_large
from segue.session.cache import FeatureCache
from segue.session.config import CommandLine, Corners, ModelChoice, Points
from segue.session.session import Session

LOSSLESS = (".png", ".tif", ".tiff")


class MaskConfig(ModelChoice):
    """What ``segue mask`` takes: coordinates are original-image pixels, x to the right and y down."""

    image: Annotated[Path, Field(description="The photograph."), CommandLine(positional=True)]
    output: Annotated[Path, Field(description="The mask, a PNG of 0 and 255.")]
    click: Annotated[Points, Field(description="A pixel on the object; repeatable.")] = ()
    background_click: Annotated[Points, Field(description="A pixel off the object; repeatable.")] = ()
    box: Annotated[Corners | None, Field(description="A rectangle around the object.")] = None
    text: Annotated[str | None, Field(description="What to segment, in words.")] = None
    overlay: Annotated[Path | None, Field(description="Also write the mask drawn on the photo.")] = None
    cache: Annotated[str | None, Field(description="Features that segue encode made: a folder or URL.")] = None

    @field_validator("output")
    @classmethod
    def _lossless(cls, path: Path) -> Path:
        if path.suffix.lower() not in LOSSLESS:
            raise ValueError("a mask needs a lossless format; name it .png")
        return path

    @field_validator("overlay")
    @classmethod
    def _picture(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() not in SUFFIXES:
            raise ValueError("not a picture format; name it .jpg or .png")
        return path

    def prompts(self) -> list[Prompt]:
        """Box and text first, then the clicks that correct them."""
        found: list[Prompt] = []
        if self.box is not None:
            found.append(Box(*self.box))
        if self.text is not None:
            found.append(Text(self.text))
        found += [Click(x, y) for x, y in self.click]
        found += [Click(x, y, positive=False) for x, y in self.background_click]
        if not found:
            raise ConfigError("no prompt", "a click, a box or a text", "add for instance --click X,Y")
        return found


@job(MaskConfig)
def mask(config: MaskConfig) -> dict[str, Any]:
    """Segment one image and write the mask as an 8-bit PNG (0, 255), with an overlay if one is asked for.

    Returns the paths, the model's score, the mask's area in pixels and the seconds of encode and decode.
    Nothing is written before the mask is there. A TIFF of more than 150 million pixels is seen window by window, and
    its mask is a tiled TIFF.

    >>> import tempfile, segue
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(Path(folder, "a.png"), np.zeros((32, 48, 3), np.uint8))
    ...     done = mask(MaskConfig(image=f"{folder}/a.png", output=f"{folder}/m.png", click=((20, 10),)))
    >>> done["size"]
    [32, 48]
    """
    prompts = config.prompts()
    if is_large_tiff(config.image, MAX_PIXELS):
        return mask_large(config, prompts)
    image = read_image(config.image)
    session = Session(config.load(), image, FeatureCache(config.cache) if config.cache else None)
    started = time.perf_counter()
    _ = session.features
    encoded = time.perf_counter()
    found = session.add(*prompts)
    decoded = time.perf_counter()
    write_labels(config.output, found)
    if config.overlay is not None:
        write_image(config.overlay, overlay(image, found, prompts))
    return {
        "image": str(config.image),
        "mask": str(config.output),
        "overlay": str(config.overlay) if config.overlay else None,
        "model": config.model,
        "size": list(found.shape),
        "area": int(np.count_nonzero(found)),
        "score": round(session.score, 4),
        "seconds": {"encode": round(encoded - started, 4), "decode": round(decoded - encoded, 4)},
    }
