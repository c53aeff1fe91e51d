import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from segue.data.parts import bridge, from_parts, slit, to_parts
from segue.data.polygon import fill

from .masks import masks


def by_opencv(rings, size):
    painted = np.zeros(size, np.uint8)
    for ring in rings:
        cv2.fillPoly(painted, [ring.astype(np.int32)], 1)
    return painted > 0


def by_pillow(rings, size):
    painted = np.zeros(size, bool)
    for ring in rings:
        image = PIL.Image.new("1", (size[1], size[0]))
        PIL.ImageDraw.Draw(image).polygon([tuple(vertex) for vertex in ring], fill=1, outline=1)
        painted |= np.asarray(image)
    return painted


def by_pycocotools(rings, size):
    flat = [ring.reshape(-1).tolist() for ring in rings]
    return coco.decode(coco.merge(coco.frPyObjects(flat, *size))).astype(bool)


@settings(max_examples=150)
@given(masks(empty=False))
@pytest.mark.parametrize("rasterise", [fill, by_opencv, by_pillow, by_pycocotools])
def test_every_rasteriser_paints_exactly_the_mask(rasterise, mask):
    rings = [slit(part) for part in to_parts(mask)]
    assert (rasterise(rings, mask.shape) == mask).all()


@given(masks())
def test_parts_and_holes_are_counted_as_regions_are(mask):
    parts = to_parts(mask)
    assert (from_parts(parts, mask.shape) == mask).all()
    assert len(parts) == scipy.ndimage.label(mask)[1]
    holes = scipy.ndimage.label(np.pad(~mask, 1, constant_values=True), np.ones((3, 3)))[1] - 1
    assert sum(len(part.holes) for part in parts) == holes


@given(masks(empty=False))
def test_one_ring_can_hold_every_part(mask):
    ring = bridge([slit(part) for part in to_parts(mask)])
    assert (fill([ring], mask.shape) == mask).all()


@settings(max_examples=60, deadline=None)
@given(masks(min_side=4, empty=False), st.floats(0.2, 6))
def test_a_tolerance_keeps_every_part_and_hole(mask, tolerance):
    mask = mask.repeat(4, 0).repeat(4, 1)
    exact, simple = to_parts(mask), to_parts(mask, tolerance)
    assert [len(part.holes) for part in simple] == [len(part.holes) for part in exact]
    assert sum(len(r) for p in simple for r in p.rings) <= sum(len(r) for p in exact for r in p.rings)
    for part in simple:
        assert all(len(ring) >= 3 for ring in part.rings)
        filled = fill([slit(part)], mask.shape)
        assert (filled == from_parts([part], mask.shape)).all()


def test_a_disc_needs_few_points_at_one_pixel():
    y, x = np.mgrid[:200, :200]
    disc = (x - 100) ** 2 + (y - 100) ** 2 < 80**2
    disc &= (x - 100) ** 2 + (y - 100) ** 2 > 20**2
    (part,) = to_parts(disc, 1.0)
    assert sum(len(ring) for ring in part.rings) < 60
    filled = from_parts([part], disc.shape)
    assert (filled & disc).sum() / (filled | disc).sum() > 0.98
