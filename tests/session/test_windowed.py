import numpy as np
import pytest

from segue.core.errors import InputError
from segue.core.types import Box, Click, Text
from segue.session.session import Session
from segue.session.windowed import WindowedSession

from ..fakes import ColourModel

DISC = 260


class Slide:
    """A picture of 4000 x 5000 pixels that exists only where one looks: a red disc at (3000, 2500)."""

    def __init__(self):
        self.seen = []

    def size(self, page=0):
        return 4000, 5000

    def window(self, window=None, page=0):
        x0, y0, x1, y1 = window
        self.seen.append(window)
        y, x = np.mgrid[y0:y1, x0:x1]
        image = np.full((y1 - y0, x1 - x0, 3), 30, np.uint8)
        image[(x - 3000) ** 2 + (y - 2500) ** 2 < DISC**2] = (220, 30, 30)
        image[(x - 3000) ** 2 + (y - 3900) ** 2 < 40**2] = (30, 220, 30)
        return image


def target():
    y, x = np.mgrid[:4000, :5000]
    return (x - 3000) ** 2 + (y - 2500) ** 2 < DISC**2


def test_the_window_grows_until_the_object_fits():
    slide = Slide()
    session = WindowedSession(ColourModel(longest=256), slide, side=128, largest=2048)
    mask = session.add(Click(3000.0, 2500.0)).mask()
    assert (mask & target()).sum() / (mask | target()).sum() > 0.97
    sides = [w[2] - w[0] for w in slide.seen]
    assert sides == [128, 256, 512, 1024]


def test_it_stops_at_the_largest_window_and_at_the_image():
    slide = Slide()
    session = WindowedSession(ColourModel(), slide, side=128, largest=256)
    assert session.add(Click(3000.0, 2500.0)).area == pytest.approx(256 * 256, rel=0.02)
    corner = WindowedSession(ColourModel(), slide, side=128, largest=256)
    corner.add(Click(4999.0, 3999.0))
    assert corner.area[2:] == (5000, 4000)


def test_inside_one_window_it_is_a_session():
    slide = Slide()
    session = WindowedSession(ColourModel(), slide, side=1024, largest=1024)
    first = session.add(Click(3000.0, 2500.0))
    second = session.add(Click(3200.0, 2500.0, positive=False))
    plain = Session(ColourModel(), slide.window(session.area))
    x, y = session.area[:2]
    plain.add(Click(3000.0 - x, 2500.0 - y))
    expected = plain.add(Click(3200.0 - x, 2500.0 - y, positive=False))
    assert (second.crop()[0].sum(), second.area) == (expected.sum(), expected.sum())
    assert session.undo() == first


def test_a_far_click_moves_the_window_and_keeps_the_object():
    slide = Slide()
    session = WindowedSession(ColourModel(longest=256), slide, side=1024, largest=2048)
    session.add(Click(3000.0, 2500.0))
    both = session.add(Click(3000.0, 3900.0)).mask()
    assert both[2500, 3000]
    assert both[3900, 3000]
    with pytest.raises(InputError, match="too far apart"):
        session.add(Click(10.0, 10.0))


def test_prompts_that_make_no_sense_are_refused():
    session = WindowedSession(ColourModel(), Slide())
    for wrong in (Click(5000.0, 1.0), Box(6000, 0, 7000, 10), Text("disc")):
        with pytest.raises(InputError):
            session.add(wrong)
    with pytest.raises(InputError, match="no prompt"):
        session.add()
    assert session.mask.area == 0
