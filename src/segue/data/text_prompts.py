"""Texts made from a mask and a class name: how many, how large, where.

Source: the attributes that medical text prompts use (Qin et al., Medical Image Understanding with Pretrained
Vision Language Models, 2022; Poudel et al., Exploring Transfer Learning in Medical Image Segmentation using
Vision-Language Models, 2023), computed from the mask alone.
"""

from __future__ import annotations

import numpy as np

from segue.core.geometry import part_sizes
from segue.core.types import Mask

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
SIZES = ((0.02, "small"), (0.15, "medium"))  # share of the image up to which an object is called so; else large
SPECK = 0.0005  # parts below this share of the image are not counted


def texts_for(mask: Mask, name: str) -> tuple[str, ...]:
    """Texts for the object ``name`` with ``mask`` (H, W) bool, from the bare name to number, size and place.

    An empty mask is described as such, so that a model can learn to answer nothing.

    >>> mask = np.zeros((100, 100), bool)
    >>> mask[5:15, 80:95] = True
    >>> texts_for(mask, "polyp")
    ('polyp', 'one polyp', 'one small polyp', 'one small polyp in the top right of the image')
    >>> texts_for(np.zeros((9, 9), bool), "polyp")
    ('polyp', 'no polyp')
    """
    parts = visible_parts(mask)
    number = NUMBERS[parts] if parts < len(NUMBERS) else "many"
    noun = name if parts == 1 else plural(name)
    if not parts:
        return (name, f"no {name}")
    size = size_word(mask, parts)
    return (
        name,
        f"{number} {noun}",
        f"{number} {size} {noun}",
        f"{number} {size} {noun} in the {place_word(mask)} of the image",
    )


def visible_parts(mask: Mask) -> int:
    """How many connected parts (8-neighbourhood) a mask has, specks aside; at least one unless it is empty.

    >>> visible_parts(np.array([[True, False, True]]))
    2
    """
    areas = part_sizes(mask)
    return max(1, int((areas >= SPECK * mask.size).sum())) if areas.size else 0


def size_word(mask: Mask, parts: int) -> str:
    """ "small", "medium" or "large", by the share of the image that one part covers.

    >>> size_word(np.ones((4, 4), bool), 1)
    'large'
    """
    share = np.count_nonzero(mask) / parts / mask.size
    return next((word for limit, word in SIZES if share <= limit), "large")


def place_word(mask: Mask) -> str:
    """Where the centre of gravity lies in a 3 x 3 grid: "top left" to "bottom right", "center" in the middle.

    >>> place_word(np.eye(3, dtype=bool)), place_word(np.array([[False, False, True]]))
    ('center', 'right')
    """
    rows, columns = np.nonzero(mask)
    y, x = (rows.mean() + 0.5) / mask.shape[0], (columns.mean() + 0.5) / mask.shape[1]
    words = [("top", "", "bottom")[min(2, int(3 * y))], ("left", "", "right")[min(2, int(3 * x))]]
    return " ".join(w for w in words if w) or "center"


def plural(name: str) -> str:
    """An English plural, good enough for class names.

    >>> plural("polyp"), plural("foot ulcer"), plural("branch")
    ('polyps', 'foot ulcers', 'branches')
    """
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "z", "ch", "sh")) else f"{name}s"
