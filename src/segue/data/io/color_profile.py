"""Embedded colour profiles: what a wide-gamut, CMYK or grey photograph looks like in sRGB."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageCms

_ALIKE = 2  # levels of 255: a profile that moves no colour further is sRGB by another name
_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}  # colour space of a profile -> mode of the pixels it describes


def to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """``image`` of 8 bits -> mode RGB, in the sRGB of every screen and model; transparency is laid over white.

    Colours keep their appearance relative to white, black to black. Without a profile, or with one that is sRGB
    by whatever name, the pixels stay as they are. A profile that is damaged, or that describes another kind of
    pixels, is ignored with a ``UserWarning``.
    Source: ICC.1:2022 (relative colorimetric intent with black point compensation), by Little CMS.

    >>> grey = PIL.Image.new("L", (2, 1), 7)
    >>> to_srgb(grey, None).getpixel((0, 0))
    (7, 7, 7)
    """
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
    if not profile:
        return image.convert("RGB")
    try:
        mode, transform = _transform(profile)
        if not _describes(mode, image):
            raise ValueError(f"it describes {mode} pixels, not {image.mode}")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        warnings.warn(f"a colour profile was ignored: {error}", UserWarning, stacklevel=2)
        return image.convert("RGB")
    if transform is None:
        return image.convert("RGB")
    converted = ImageCms.applyTransform(image.convert(mode), transform)
    assert converted is not None
    return converted


def lab_to_srgb(lab: NDArray[Any], signed: bool = True) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 CIE L*a*b* as TIFF stores it, a and b ``signed`` (CIELAB) or from 128 up (ICCLAB) -> sRGB.

    >>> lab_to_srgb(np.array([[[255, 0, 0]]], np.uint8)).tolist()
    [[[254, 255, 254]]]
    """
    stored = np.ascontiguousarray(lab if signed else lab ^ np.array([0, 128, 128], np.uint8))
    image = PIL.Image.frombytes("LAB", (lab.shape[1], lab.shape[0]), stored.tobytes())
    converted = ImageCms.applyTransform(image, _lab_transform())
    assert converted is not None
    return np.array(converted)


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode of the pixels that a profile describes, and how they become sRGB; None where they are sRGB."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = opened.profile.xcolor_space.strip()
    if space not in _SPACES:
        raise ValueError(f"its colour space is {space}")
    mode = _SPACES[space]
    transform = ImageCms.buildTransform(
        opened,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return mode, None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _describes(mode: str, image: PIL.Image.Image) -> bool:
    """Whether pixels of ``mode`` can hold what ``image`` shows; grey files often keep a profile of colours."""
    if mode == "L" and image.mode not in ("L", "CMYK"):
        rgb = np.asarray(image.convert("RGB"))
        return bool((rgb == rgb[..., :1]).all())
    return mode == image.mode or (mode == "RGB" and image.mode != "CMYK")


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a lattice of colours comes out as it went in."""
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    lattice = steps[:, None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(16, -1, 3)
    image = PIL.Image.fromarray(np.ascontiguousarray(lattice))
    out = ImageCms.applyTransform(image, transform)
    assert out is not None
    return bool(np.abs(np.asarray(out, np.int16) - np.asarray(image.convert("RGB"), np.int16)).max() <= _ALIKE)
