"""One object in a TIFF too large to hold: the mask job, window by window."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segue.core.errors import ConfigError
from segue.core.types import Prompt
from segue.data.io.drawing import overlay
from segue.data.io.image import write_image
from segue.data.io.tiff import Tiff, write_mask_tiff
from segue.session.windowed import WindowedSession

if TYPE_CHECKING:
    from segue.jobs.mask import MaskConfig


def mask_large(config: MaskConfig, prompts: list[Prompt]) -> dict[str, Any]:
    """Segment a gigapixel TIFF and write the mask as a tiled TIFF (0, 255); the overlay shows the window.

    The result is that of ``mask``, with the ``window`` (x0, y0, x1, y1) that the model saw. Raises ``ConfigError``
    for an output that is no TIFF.
    """
    if config.output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(
            f"the mask file {config.output} for {config.image}", "a tiled TIFF, as the image is one", "name it .tif"
        )
    model = config.load()
    with Tiff(config.image) as source:
        session = WindowedSession(model, source)
        started = time.perf_counter()
        rle = session.add(*prompts)
        seconds = time.perf_counter() - started
        write_mask_tiff(config.output, rle)
        assert session.area is not None
        x0, y0, x1, y1 = session.area
        if config.overlay is not None:
            seen = np.zeros((y1 - y0, x1 - x0), bool)
            crop, x, y = rle.crop()
            seen[y - y0 : y - y0 + crop.shape[0], x - x0 : x - x0 + crop.shape[1]] = crop
            write_image(config.overlay, overlay(source.window(session.area), seen))
    return {
        "image": str(config.image),
        "mask": str(config.output),
        "overlay": str(Path(config.overlay)) if config.overlay else None,
        "model": config.model,
        "size": list(rle.size),
        "area": rle.area,
        "window": [x0, y0, x1, y1],
        "seconds": {"windows": round(seconds, 4)},
    }
