"""One image, any mix of prompts, one mask."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from segue.core.errors import ConfigError, InputError
from segue.core.segmenter import Segmenter
from segue.core.types import Image, Prompt, Text
from segue.data.io.drawing import overlay
from segue.data.io.image import MAX_PIXELS, open_image, write_cutout, write_image, write_labels
from segue.data.io.image_file import ImageFile
from segue.data.io.tiff import write_mask_tiff
from segue.jobs.job import job
from segue.jobs.output import PictureFile
from segue.jobs.prompts import PromptFields
from segue.session.cache import FeatureCache
from segue.session.config import CommandLine, JobResult, WordsChoice
from segue.session.session import Session
from segue.session.windowed import WindowedSession

READER = "CIDAS/clipseg-rd64-refined"
LOSSLESS = (".png", ".tif", ".tiff")


class MaskConfig(WordsChoice, PromptFields):
    """What ``segue mask`` takes for one image: coordinates are original-image pixels, x to the right and y down."""

    image: Annotated[Path, Field(description="The photograph."), CommandLine(positional=True)]
    output: Annotated[Path, Field(description="The mask, a PNG of 0 and 255.")]
    overlay: Annotated[PictureFile | None, Field(description="Also write the mask drawn on the photo.")] = None
    cutout: Annotated[Path | None, Field(description="Also write the object alone, a PNG with transparency.")] = None
    cache: Annotated[str | None, Field(description="Features that segue encode made: a folder or URL.")] = None

    @field_validator("output")
    @classmethod
    def _lossless(cls, path: Path) -> Path:
        if path.suffix.lower() not in LOSSLESS:
            raise ValueError("a mask needs a lossless format; name it .png")
        return path

    @field_validator("cutout")
    @classmethod
    def _transparent(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() != ".png":
            raise ValueError("a cut-out needs transparency; name it .png")
        return path


class MaskSeconds(JobResult):
    """Wall-clock seconds; a large image is encoded window by window, within ``decode``."""

    encode: float
    decode: float


class MaskResult(JobResult):
    """What ``segue mask`` made: files, the image's ``size`` (height, width), the mask's ``area`` in pixels, the
    model's ``score``, and the ``window`` (x0, y0, x1, y1) that it saw of a large image."""

    image: Path
    mask: Path
    overlay: Path | None
    cutout: Path | None = None
    model: str
    size: tuple[int, int]
    area: int
    score: float
    window: tuple[int, int, int, int] | None = None
    seconds: MaskSeconds


@job(MaskConfig)
def mask(config: MaskConfig) -> MaskResult:
    """Segment one image and write the mask as an 8-bit PNG (0, 255), with an overlay if one is asked for.

    Nothing is written before the mask is there. A TIFF of more than 150 million pixels is seen window by window, and
    its mask is a tiled TIFF.

    >>> import tempfile, segue
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/a.png", np.zeros((32, 48, 3), np.uint8))
    ...     segue.mask(image=f"{folder}/a.png", output=f"{folder}/m.png", click=[(20, 10)]).size
    (32, 48)
    """
    prompts = config.prompts()
    with open_image(config.image) as file:
        height, width = file.size()
        large = file.kind == "TIFF" and height * width > MAX_PIXELS
        return _windowed(config, file, prompts) if large else _whole(config, file.window(), prompts)


def load_for(config: WordsChoice, prompts: Sequence[Prompt]) -> Segmenter:
    """The model of ``config``. Raises ``InputError`` for words that it does not take."""
    model = config.load()
    if Text not in model.accepts and any(isinstance(prompt, Text) for prompt in prompts):
        raise InputError(
            f"a Text prompt for {config.model}, which takes no words",
            "a model that reads",
            f"choose --model {READER}, which is fetched when it is first used",
        )
    return model


def _whole(config: MaskConfig, image: Image, prompts: list[Prompt]) -> MaskResult:
    session = Session(load_for(config, prompts), image, FeatureCache(config.cache) if config.cache else None)
    started = time.perf_counter()
    _ = session.features
    encoded = time.perf_counter()
    drawn = session.add(*prompts)
    seconds = MaskSeconds(encode=round(encoded - started, 4), decode=round(time.perf_counter() - encoded, 4))
    write_labels(config.output, drawn)
    if config.overlay is not None:
        write_image(config.overlay, overlay(image, drawn, prompts))
    if config.cutout is not None:
        write_cutout(config.cutout, image, drawn)
    return MaskResult(
        image=config.image,
        mask=config.output,
        overlay=config.overlay,
        cutout=config.cutout,
        model=config.model,
        size=drawn.shape,
        area=int(np.count_nonzero(drawn)),
        score=round(session.score, 4),
        seconds=seconds,
    )


def _windowed(config: MaskConfig, source: ImageFile, prompts: list[Prompt]) -> MaskResult:
    """The same for an image too large to hold; the overlay shows the window."""
    if config.output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(
            f"the mask file {config.output} for {config.image}", "a tiled TIFF, as the image is one", "name it .tif"
        )
    if config.cutout is not None:
        raise ConfigError(f"a cut-out of {config.image}, which is too large to hold", "no cut-out", "leave it out")
    session = WindowedSession(load_for(config, prompts), source)
    started = time.perf_counter()
    rle = session.add(*prompts)
    seconds = MaskSeconds(encode=0.0, decode=round(time.perf_counter() - started, 4))
    write_mask_tiff(config.output, rle)
    assert session.area is not None
    x0, y0, x1, y1 = session.area
    if config.overlay is not None:
        seen = np.zeros((y1 - y0, x1 - x0), bool)
        crop, x, y = rle.crop()
        seen[y - y0 : y - y0 + crop.shape[0], x - x0 : x - x0 + crop.shape[1]] = crop
        write_image(config.overlay, overlay(source.window(session.area), seen))
    return MaskResult(
        image=config.image,
        mask=config.output,
        overlay=config.overlay,
        model=config.model,
        size=rle.size,
        area=rle.area,
        score=round(session.score, 4),
        window=session.area,
        seconds=seconds,
    )
