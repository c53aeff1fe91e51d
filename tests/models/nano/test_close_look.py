"""Close looks lie around what is to be corrected, at the photo's own resolution or finer."""

from __future__ import annotations

import numpy as np

from segue.core.frame import Frame
from segue.core.types import Click
from segue.models.nano.canvas import empty_canvas, window
from segue.models.nano.close_look import CloseLook, distance_to_label, is_cut

SIZE = (600, 800)
WHOLE = Frame.longest(SIZE, 384, multiple=64)
LOOK = CloseLook(256, 0.12, 1.4)


def test_a_first_look_is_wider_the_farther_the_mask_is_wrong() -> None:
    canvas = empty_canvas(SIZE)
    canvas[:, :300] = 4.0
    near, far = (LOOK.around(Click(x, 300), canvas, WHOLE) for x in (310, 370))
    assert near is not None
    assert far is not None
    assert near.scale[0] > far.scale[0] > WHOLE.scale[0]
    assert near.crop[0] <= 310 < near.crop[2]
    assert LOOK.around(Click(700, 300), canvas, WHOLE) is None, "far from everything: the region says how far"
    assert LOOK.around(Click(100, 300), canvas, WHOLE) is None, "nothing to correct"


def test_the_distance_is_that_to_the_nearest_pixel_with_the_label() -> None:
    canvas = empty_canvas(SIZE)
    canvas[100:200, 100:200] = 4.0
    assert distance_to_label(canvas, Click(150, 150, False), WHOLE, 96.0) == 50.0
    assert distance_to_label(canvas, Click(150, 150), WHOLE, 96.0) == 0.0
    assert distance_to_label(canvas, Click(500, 150), WHOLE, 96.0) == 96.0


def test_the_look_around_a_change_holds_it_and_the_click() -> None:
    change = np.zeros(SIZE, bool)
    change[200:340, 300:520] = True
    x0, y0, x1, y1 = LOOK.around_change(change, Click(310, 210), WHOLE).crop
    assert x0 < 300
    assert y0 < 200
    assert x1 > 520
    assert y1 > 340
    small = LOOK.around_change(np.zeros(SIZE, bool), Click(310, 210), WHOLE)
    assert small.crop[2] - small.crop[0] >= 0.12 * 800


def test_a_change_at_the_views_border_is_cut_unless_the_photo_ends_there() -> None:
    view = WHOLE.zoomed((0, 100, 200, 300), (256, 256), multiple=64)
    rows, columns = window(view)
    change = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    change[50:100, :60] = True
    assert not is_cut(change, view)
    change[50:100, 150:] = True
    assert is_cut(change, view)
