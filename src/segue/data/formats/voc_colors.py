"""The colours of VOC's and CVAT's label maps, and the classes that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageOps

from segue.core.errors import DataError
from segue.core.files import read_text
from segue.data.io.image import Labels, read_labels

Color = tuple[int, int, int]


def color(label: int) -> tuple[int, int, int]:
    """VOC's colour of a label: its bits, three by three, become the high bits of red, green and blue.

    >>> color(1), color(255)
    ((128, 0, 0), (224, 224, 192))
    """
    parts = [0, 0, 0]
    for bit in range(8):
        parts[bit % 3] |= ((label >> bit) & 1) << (7 - bit // 3)
    return parts[0], parts[1], parts[2]


VOC_COLORS: Mapping[Color, int] = {color(k): k for k in range(256)}


class ClassColors:
    """Class ``names`` by number, and the colours of ``labelmap.txt`` (``own``) or else of VOC's palette.

    Raises ``DataError`` for a labelmap.txt that does not read.

    >>> ClassColors(Path("/no/such/labelmap.txt"), ["background", "aeroplane"]).names
    ['background', 'aeroplane']
    """

    def __init__(self, labelmap: Path, standard: Sequence[str]) -> None:
        self.own = labelmap.exists()
        self.names, self._numbers = list(standard), VOC_COLORS
        if self.own:
            self.names, self._numbers = _labelmap(labelmap)

    def classes(self, file: Path) -> Labels:
        """(H, W) class numbers of a class map; those of a void colour are 255.

        Raises ``DataError`` for colours that stand for no class.
        """
        codes, palette = read_codes(file)
        if palette is None:
            return codes
        numbers = {}
        for code, one in palette.items():
            number = self._numbers.get(one, 255 if one == color(255) else None)
            if number is None:
                known = "labelmap.txt" if self.own else "VOC's palette"
                raise DataError(
                    f"the colour {one} of {file}, which is that of no class in {known}",
                    "colours that stand for classes",
                    "add it to labelmap.txt beside the folders: name:r,g,b::",
                )
            numbers[code] = number
        every = np.array(list(numbers), np.int64)
        order = np.argsort(every)
        values = np.array(list(numbers.values()), np.int32)[order]
        return values[np.searchsorted(every[order], codes)]


def _labelmap(file: Path) -> tuple[list[str], Mapping[Color, int]]:
    """Names, background first, and the number of each colour. Names may hold colons: colours are found from the end."""
    rows: list[tuple[str, Color]] = []
    for line in read_text(file).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, text = line.rsplit(":", 3)[:2]
            red, green, blue = (int(part) for part in text.split(","))
        except ValueError as error:
            raise DataError(f"the line {line!r} of {file}", "name:r,g,b:parts:actions") from error
        rows.append((name.strip(), (red, green, blue)))
    colors = [one for _, one in rows]
    twice = next((one for one in colors if colors.count(one) > 1), None)
    if twice is not None:
        names = [name for name, one in rows if one == twice]
        raise DataError(f"the colour {twice} of {' and '.join(names)} in {file}", "a colour for each class")
    rows.sort(key=lambda row: row[0] != "background")
    if not rows or rows[0][0] != "background":
        rows.insert(0, ("background", (0, 0, 0)))
    return [name for name, _ in rows], {one: k for k, (_, one) in reversed(list(enumerate(rows)))}


def read_codes(file: Path) -> tuple[Labels, dict[int, Color] | None]:
    """(H, W) numbers of a label map, and the colour of each number in it; None where it is grey, and holds numbers.

    A palette's numbers are its indices, a true colour's 65536 r + 256 g + b. Transparent pixels are 0, black.
    Raises ``ImageError`` and ``MissingFile``.
    """
    labels = read_labels(file)
    with PIL.Image.open(file) as image:
        if image.mode == "P":
            labels = np.asarray(ImageOps.exif_transpose(image), np.int32)
            flat = image.getpalette("RGB") or []
            colors = [(flat[k], flat[k + 1], flat[k + 2]) for k in range(0, len(flat), 3)]
            used = np.flatnonzero(np.bincount(labels.reshape(-1))).tolist()
            if all(colors[k : k + 1] == [(k, k, k)] for k in used):
                return labels, None  # a grey ramp says nothing of colours
            return labels, {k: colors[k] if k < len(colors) else (0, 0, 0) for k in used}
        if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;"):
            return labels, None
        rgba = np.asarray(ImageOps.exif_transpose(image).convert("RGBA")).astype(np.int32)
    codes = np.where(rgba[..., 3] > 0, (rgba[..., 0] << 16) | (rgba[..., 1] << 8) | rgba[..., 2], 0)
    return codes, {k: (k >> 16, (k >> 8) & 255, k & 255) for k in np.unique(codes).tolist()}
