"""Masks and prompts drawn on photographs, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from segue.core.errors import ImageError
from segue.core.geometry import outlines
from segue.core.types import Box, Click, Image, Mask, Probability, Prompt, check_image, check_mask

Color = tuple[int, int, int]
BLUE: Color = (38, 132, 255)
POSITIVE: Color = (46, 204, 113)
NEGATIVE: Color = (235, 64, 52)
YELLOW: Color = (255, 214, 10)
INK, QUIET, PAPER = (24, 24, 27), (113, 113, 122), (244, 244, 245)
TINTS: Sequence[Color] = (BLUE, (255, 140, 0), (155, 89, 182), (26, 188, 156), (231, 76, 60), (241, 196, 15))


def overlay(
    image: Image, mask: Mask, prompts: Sequence[Prompt] = (), color: Color = BLUE, opacity: float = 0.45
) -> Image:
    """(H, W, 3) uint8: ``image`` with ``mask`` (H, W) bool tinted and outlined, clicks and boxes on top.

    Line widths follow the image's size. Raises ``ImageError`` or ``InputError`` for arrays of other shapes.

    >>> drawn = overlay(np.zeros((40, 60, 3), np.uint8), np.ones((40, 60), bool), [Click(30, 20)])
    >>> drawn.shape, tuple(int(v) for v in drawn[20, 30])
    ((40, 60, 3), (46, 204, 113))
    """
    check_image(image)
    check_mask(mask, image.shape[:2])
    drawn = image.copy()
    for channel, tint in enumerate(color):  # by table, so that a large photograph needs no copy in floats
        table = (np.arange(256) * (1 - opacity) + tint * opacity).astype(np.uint8)
        np.copyto(drawn[..., channel], table[image[..., channel]], where=mask)
    width = max(1, round(max(image.shape[:2]) / 500))
    draw_outlines(drawn, mask, (255, 255, 255), width + 1)
    draw_outlines(drawn, mask, color, width)
    for prompt in prompts:
        _draw_prompt(drawn, prompt, width)
    return drawn


def heat_map(image: Image, values: Probability, prompts: Sequence[Prompt] = (), opacity: float = 0.6) -> Image:
    """(H, W, 3) uint8: ``image`` under the colors of ``values`` (H, W), the least dark blue and the most yellow, clicks
    and boxes on top. Raises ``ImageError`` for arrays of other shapes.

    >>> heat_map(np.zeros((4, 6, 3), np.uint8), np.eye(4, 6)).shape
    (4, 6, 3)
    """
    check_image(image)
    if values.shape != image.shape[:2]:
        raise ImageError(f"values of shape {values.shape}", f"the image's {image.shape[:2]}")
    low, high = float(values.min()), float(values.max())
    grey = ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
    drawn: Image = cv2.addWeighted(colors, opacity, image, 1 - opacity, 0)
    for prompt in prompts:
        _draw_prompt(drawn, prompt, max(1, round(max(image.shape[:2]) / 500)))
    return drawn


def draw_outlines(image: Image, mask: Mask, color: Color, width: int = 1, line: int = cv2.LINE_AA) -> Image:
    """``image`` (H, W, 3) itself, with the outlines of ``mask`` (H, W) bool drawn into it.

    >>> draw_outlines(np.zeros((3, 3, 3), np.uint8), np.eye(3, dtype=bool), YELLOW, line=cv2.LINE_8)[0, 0].tolist()
    [255, 214, 10]
    """
    cv2.drawContours(image, outlines(mask), -1, color, width, line)
    return image


def _draw_prompt(drawn: Image, prompt: Prompt, width: int) -> None:
    if isinstance(prompt, Click):
        center, radius = (int(prompt.x), int(prompt.y)), 4 * width
        cv2.circle(drawn, center, radius + width, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(drawn, center, radius, POSITIVE if prompt.positive else NEGATIVE, -1, cv2.LINE_AA)
    elif isinstance(prompt, Box):
        first, last = (round(prompt.x0), round(prompt.y0)), (round(prompt.x1) - 1, round(prompt.y1) - 1)
        cv2.rectangle(drawn, first, last, POSITIVE, width, cv2.LINE_AA)


def contact_sheet(tiles: Sequence[Image], columns: int = 4, side: int = 320, gap: int = 6) -> Image:
    """``tiles`` (any sizes) fitted into squares of ``side`` pixels, ``columns`` to a row, on white.

    >>> contact_sheet([np.zeros((10, 20, 3), np.uint8)] * 3, columns=2, side=32, gap=2).shape
    (70, 70, 3)
    """
    fitted = []
    for tile in tiles:
        scale = side / max(tile.shape[:2])
        size = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        fitted.append(cv2.resize(tile, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    return in_rows(fitted, (side, side), columns, gap)


def in_rows(tiles: Sequence[Image], cell: tuple[int, int], columns: int = 4, gap: int = 6) -> Image:
    """``tiles`` as they are, each in the middle of a cell of (height, width) pixels, ``columns`` to a row, on white.

    >>> in_rows([np.zeros((10, 20, 3), np.uint8)] * 3, (10, 20), columns=2, gap=2).shape
    (26, 46, 3)
    """
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns) or 1
    high, wide = cell[0] + gap, cell[1] + gap
    sheet = np.full((rows * high + gap, columns * wide + gap, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = gap + index // columns * high + (cell[0] - tile.shape[0]) // 2
        left = gap + index % columns * wide + (cell[1] - tile.shape[1]) // 2
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def contrasting(image: Image, mask: Mask, used: Sequence[Color] = ()) -> Color:
    """The tint that differs most, in CIELAB, from ``image`` (H, W, 3) under ``mask`` (H, W) bool; not one of ``used``.

    >>> contrasting(np.full((4, 4, 3), (255, 140, 0), np.uint8), np.ones((4, 4), bool))
    (38, 132, 255)
    """
    free = [tint for tint in TINTS if tint not in used] or list(TINTS)
    if not mask.any():
        return free[0]
    seen = image[mask].mean(0)
    lab = cv2.cvtColor(np.array([[seen, *free]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return free[int(np.linalg.norm(lab[1:] - lab[0], axis=1).argmax())]


def captioned(image: Image, title: str, note: str = "", side: int = 320, note_color: Color = QUIET) -> Image:
    """(side + strip, side, 3) uint8: ``image`` fitted into a square, in the strip below it ``title`` and ``note``.

    A title that is too long loses its middle; the note stands at the right.

    >>> captioned(np.zeros((10, 20, 3), np.uint8), "a.jpg", "0.97", side=100).shape
    (118, 100, 3)
    """
    size = max(9, round(side / 21))
    scale = side / max(image.shape[:2])
    fitted = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    card = np.full((side + 2 * size, side, 3), 255, np.uint8)
    card[:side] = PAPER
    top, left = (side - fitted[1]) // 2, (side - fitted[0]) // 2
    card[top : top + fitted[1], left : left + fitted[0]] = small
    page = Pictures.fromarray(card)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    room = side - pen.textlength(note, font) - size
    shown, kept = title, len(title)
    while pen.textlength(shown, font) > room and kept > 2:
        kept -= 1
        shown = f"{title[: (kept + 1) // 2]}…{title[len(title) - kept // 2 :]}"
    pen.text((2, side + size * 0.3), shown, INK, font)
    pen.text((side - 2, side + size * 0.3), note, note_color, font, anchor="ra")
    return np.asarray(page)
