"""Images inside annotation files, as base64 text."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO

import numpy as np
import PIL.Image
from PIL import ImageOps

from segue.core.errors import ImageError
from segue.core.types import Image, Mask

_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, MemoryError, PIL.Image.DecompressionBombError)


def image_of_base64(text: object, name: str) -> Image:
    """(H, W, 3) upright, of the image file that ``text`` holds. Raises ``ImageError`` for anything else.

    >>> image_of_base64("!", "a.json")
    Traceback (most recent call last):
    segue.core.errors.ImageError: got the image in a.json, which does not read (...); expected an image file as base64
    """
    with _opened(text, name) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def mask_of_base64(text: object, name: str) -> Mask:
    """(H, W) bool, what is not black, of the image file that ``text`` holds. Raises ``ImageError``."""
    with _opened(text, name) as image:
        return np.asarray(image.convert("L")) > 0


def _opened(text: object, name: str) -> PIL.Image.Image:
    try:
        data = base64.b64decode(text if isinstance(text, str | bytes) else "", validate=False)
        image = PIL.Image.open(BytesIO(data))
        image.load()
    except (binascii.Error, *_DAMAGED) as error:
        raise ImageError(f"the image in {name}, which does not read ({error})", "an image file as base64") from error
    return image
