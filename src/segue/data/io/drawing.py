"""Masks and prompts drawn on photographs, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segue.core.geometry import outlines
from segue.core.types import Box, Click, Image, Mask, Prompt, check_image, check_mask

Color = tuple[int, int, int]
BLUE: Color = (38, 132, 255)
POSITIVE: Color = (46, 204, 113)
NEGATIVE: Color = (235, 64, 52)
YELLOW: Color = (255, 214, 10)
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
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns) or 1
    pitch = side + gap
    sheet = np.full((rows * pitch + gap, columns * pitch + gap, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        scale = side / max(tile.shape[:2])
        size = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        small = cv2.resize(tile, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top = gap + index // columns * pitch + (side - size[1]) // 2
        left = gap + index % columns * pitch + (side - size[0]) // 2
        sheet[top : top + size[1], left : left + size[0]] = small
    return sheet
