"""Synthetic thin things, drawn with soft edges: wheels, branches, stools, lattices, wires, spectacles, ragged leaves.

What label maps of photographs are poor in (annotators draw around spokes, legs and holes, not along them) and what
interactive segmentation is asked for: Liew et al., 2021 (ThinObject-5K) is the argument, the drawings are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Canvas: TypeAlias = NDArray[np.uint8]  # (C, C), painted 255
Draw: TypeAlias = Callable[[Canvas, float, np.random.Generator], None]
SHIFT = 4  # fractional bits of OpenCV's coordinates
FINER = 2  # drawn this much larger than returned


def drawn_shapes(count: int, canvas: int = 256, seed: int = 0) -> Tensor:
    """(count, 4, canvas, canvas) uint8: premultiplied red, green, blue, and alpha, of one shape each.

    >>> stack = drawn_shapes(2, canvas=64)
    >>> tuple(stack.shape), bool((stack[:, :3] <= stack[:, 3:]).all())
    ((2, 4, 64, 64), True)
    """
    chance = np.random.default_rng(seed)
    kinds = list(SHAPES.values())
    return torch.stack([_coloured(kinds[i % len(kinds)], canvas, chance) for i in range(count)])


def _coloured(draw: Draw, canvas: int, chance: np.random.Generator) -> Tensor:
    side = canvas * FINER
    outline = np.zeros((side, side), np.uint8)
    draw(outline, side * float(np.exp(chance.uniform(np.log(0.010), np.log(0.035)))), chance)
    alpha = cv2.resize(outline, (canvas, canvas), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colour = _texture(canvas, chance) * alpha[:, :, None]
    return torch.from_numpy(np.dstack([colour * 255, alpha * 255]).round().astype(np.uint8).transpose(2, 0, 1).copy())


def _texture(side: int, chance: np.random.Generator) -> NDArray[np.float32]:
    """(side, side, 3) in [0, 1]: two near colours mixed by a slope, stripes or a smooth field, and a little grain."""
    grey = chance.uniform(0, 1)
    first = grey + (chance.uniform(0, 1, 3) - grey) * chance.uniform(0, 1)
    second = np.clip(first + chance.normal(0, chance.choice([0.05, 0.25]), 3), 0, 1)
    y, x = np.mgrid[0:side, 0:side] / side
    turned = math.cos(a := chance.uniform(0, 2 * math.pi)) * x + math.sin(a) * y
    kind = chance.integers(3)
    if kind == 0:
        mix = turned - turned.min()
    elif kind == 1:
        mix = (np.sin(turned * chance.uniform(10, 60)) + 1) / 2
    else:
        coarse = chance.uniform(0, 1, (6, 6)).astype(np.float32)
        mix = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    mixed = first + (second - first) * np.clip(mix, 0, 1)[:, :, None] + chance.normal(0, 0.02, (side, side, 1))
    texture: NDArray[np.float32] = np.clip(mixed, 0, 1).astype(np.float32)
    return texture


def _line(canvas: Canvas, points: NDArray[np.float64], thick: float) -> None:
    """A polyline through (n, 2) x, y in [0, 1] of the canvas."""
    scaled = np.round(points * len(canvas) * 2**SHIFT).astype(np.int32)
    cv2.polylines(canvas, [scaled[:, None]], False, 255, max(1, round(thick)), cv2.LINE_AA, SHIFT)


def _ring(canvas: Canvas, centre: NDArray[np.float64], radii: NDArray[np.float64], turn: float, thick: float) -> None:
    angle = np.linspace(0, 2 * math.pi, 73)
    _line(canvas, centre + _on_ellipse(angle, radii, turn), thick)


def _on_ellipse(angle: NDArray[np.float64], radii: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """Points (n, 2) of a turned ellipse around 0."""
    cos, sin = math.cos(turn), math.sin(turn)
    level = np.stack([np.cos(angle) * radii[0], np.sin(angle) * radii[1]], 1)
    turned: NDArray[np.float64] = level @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _wheel(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    centre, radius = np.array([0.5, 0.5]), chance.uniform(0.3, 0.46)
    radii = radius * np.array([1.0, chance.uniform(0.35, 1)])
    turn, spokes = chance.uniform(0, math.pi), int(chance.integers(0, 15))
    _ring(canvas, centre, radii, turn, thick * chance.uniform(1, 3))
    angles = np.linspace(0, 2 * math.pi, spokes, endpoint=False) + chance.uniform(0, 1)
    for rim in _on_ellipse(angles, radii, turn):
        _line(canvas, np.stack([centre, centre + rim]), thick * 0.7)
    if spokes:
        cv2.circle(canvas, (len(canvas) // 2,) * 2, round(thick * chance.uniform(1, 4)), 255, -1, cv2.LINE_AA)


def _branch(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    def grow(root: NDArray[np.float64], angle: float, length: float, width: float, depth: int) -> None:
        bend, steps = chance.normal(0, 0.5), np.linspace(0, 1, 8)
        angles = angle + bend * steps
        path = root + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * length / 8, axis=0)
        path = np.concatenate([root[None], path])
        _line(canvas, path, width)
        for _ in range(int(chance.integers(1, 4)) if depth else 0):
            at = path[int(chance.integers(3, len(path)))]
            turn = float(chance.choice([-1, 1])) * chance.uniform(0.3, 1.0)
            grow(at, angle + bend + turn, length * chance.uniform(0.5, 0.8), width * 0.65, depth - 1)

    grow(np.array([chance.uniform(0.3, 0.7), 0.95]), -math.pi / 2 + chance.normal(0, 0.3), 0.4, 2.5 * thick, 3)


def _stool(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    top, left, right = chance.uniform(0.1, 0.45), chance.uniform(0.1, 0.3), chance.uniform(0.7, 0.9)
    seat = np.array([[left, top], [right, top], [right - 0.05, top + 0.12], [left - 0.05, top + 0.12]])
    cv2.fillPoly(canvas, [np.round(seat * len(canvas)).astype(np.int32)[:, None]], 255, cv2.LINE_AA)
    feet = seat + np.array([[-0.02, 0.45], [0.02, 0.45], [0.05, 0.42], [-0.05, 0.42]]) * chance.uniform(0.7, 1.1)
    for corner, foot in zip(seat, feet, strict=True):
        _line(canvas, np.stack([corner, foot]), thick * 1.3)
    if chance.uniform() < 0.5:
        share = chance.uniform(0.4, 0.8)
        rungs = seat + (feet - seat) * share
        _line(canvas, rungs[[0, 1, 2, 3, 0]], thick)
    if chance.uniform() < 0.5 and top > 0.25:
        for x in np.linspace(left, right, int(chance.integers(2, 7))):
            _line(canvas, np.array([[x, top], [x, 0.05]]), thick)
        _line(canvas, np.array([[left, 0.05], [right, 0.05]]), thick * 2)


def _lattice(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    x0, y0, x1, y1 = chance.uniform(0.05, 0.3), chance.uniform(0.05, 0.3), *chance.uniform(0.7, 0.95, 2)
    slant = chance.normal(0, 0.08)
    for x in np.linspace(x0, x1, int(chance.integers(3, 11))):
        _line(canvas, np.array([[x, y0], [x + slant, y1]]), thick)
    for y in np.linspace(y0, y1, int(chance.integers(2, 5))):
        shift = slant * (y - y0) / (y1 - y0)
        _line(canvas, np.array([[x0 + shift, y], [x1 + shift, y]]), thick * chance.uniform(0.8, 1.6))


def _wire(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    knots = chance.uniform(0.05, 0.95, (int(chance.integers(4, 8)), 2))
    dense = cv2.resize(knots.astype(np.float32), (2, 160), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    _line(canvas, dense, thick * chance.uniform(1, 2))
    if chance.uniform() < 0.5:
        radius = round(len(canvas) * chance.uniform(0.03, 0.1))
        x, y = np.round(np.clip(dense[-1], 0.1, 0.9) * len(canvas)).astype(int).tolist()
        cv2.circle(canvas, (x, y), radius, 255, -1, cv2.LINE_AA)


def _spectacles(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    radii, apart, turn = chance.uniform(0.1, 0.2, 2), chance.uniform(0.2, 0.25), chance.normal(0, 0.2)
    across = np.array([math.cos(turn), math.sin(turn)])
    middle = np.array([0.5, 0.5])
    for side in (-1, 1):
        _ring(canvas, middle + side * apart * across, radii, turn, thick)
        hinge = middle + side * (apart + radii[0]) * across
        _line(canvas, np.stack([hinge, hinge + np.array([side * 0.03, -chance.uniform(0.05, 0.3)])]), thick)
    _line(canvas, np.stack([middle - (apart - radii[0]) * across, middle + (apart - radii[0]) * across]), thick)


def _leaf(canvas: Canvas, thick: float, chance: np.random.Generator) -> None:
    """A ragged blob with holes."""
    angle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    radius = np.full(64, chance.uniform(0.28, 0.36))
    for wave in range(2, 9):
        radius += np.cos(wave * angle + chance.uniform(0, 6.3)) * chance.normal(0, 0.25 / wave**1.2) * 0.3
    radius = np.clip(radius, 0.06, 0.47)
    edge = 0.5 + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    cv2.fillPoly(canvas, [np.round(edge * len(canvas)).astype(np.int32)[:, None]], 255, cv2.LINE_AA)
    for _ in range(int(chance.integers(0, 5))):
        x, y = np.round(chance.uniform(0.3, 0.7, 2) * len(canvas)).astype(int).tolist()
        axes = tuple(np.round(chance.uniform(0.02, 0.1, 2) * len(canvas)).astype(int).tolist())
        cv2.ellipse(canvas, (x, y), axes, chance.uniform(0, 180), 0, 360, 0, -1, cv2.LINE_AA)
    stalk = np.array([[0.5, 0.5], [0.5 + chance.normal(0, 0.1), 0.98]])
    _line(canvas, stalk, thick * 1.5)


SHAPES: Mapping[str, Draw] = {
    "wheel": _wheel,
    "branch": _branch,
    "stool": _stool,
    "lattice": _lattice,
    "wire": _wire,
    "spectacles": _spectacles,
    "leaf": _leaf,
}
