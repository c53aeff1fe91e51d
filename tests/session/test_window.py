import numpy as np
import pytest

from segue.core.errors import InputError
from segue.core.types import Box, Click, Text
from segue.data.image import read_mask
from segue.data.tiff import write_tiles
from segue.session.window import Window, WindowSession
from tests.fakes import ColourModel

H, W = 900, 1200


class Paper:
    """A dark page with a small and a long bright object, which counts the pixels it gives out."""

    size = (H, W)

    def __init__(self):
        self.pixels = np.full((H, W, 3), 20, np.uint8)
        self.small, self.long = np.zeros((H, W), bool), np.zeros((H, W), bool)
        self.small[400:420, 300:330] = True
        self.long[600:620, 100:1150] = True
        self.pixels[self.small | self.long] = 220
        self.given = []

    def read(self, x0, y0, x1, y1, step=1):
        part = self.pixels[y0:y1:step, x0:x1:step]
        self.given.append(part.shape[0] * part.shape[1])
        return part.copy()


def whole_mask(session, side=100):
    across = -(-W // side)
    tiles = list(session.tiles(side))
    rows = [np.concatenate(tiles[k : k + across], axis=1) for k in range(0, len(tiles), across)]
    return np.concatenate(rows)[:H, :W]


@pytest.fixture
def session():
    return WindowSession(ColourModel(256), Paper(), side=128)


def test_a_click_is_answered_in_a_window_at_full_resolution(session):
    mask = session.add(Click(310, 410))
    assert session.window.step == 1
    assert mask.shape == session.window.size == (128, 128)
    assert (whole_mask(session) == session.page.small).mean() == 1.0
    assert session.page.given == [128 * 128]


def test_the_window_grows_until_the_object_fits(session):
    session.add(Click(600, 610))
    assert session.window.x0 <= 100
    assert session.window.x1 >= 1150
    assert session.window.step > 1
    agree = whole_mask(session) & session.page.long
    assert agree.sum() > 0.75 * session.page.long.sum()
    assert max(session.page.given) <= (2 * 128) ** 2, "memory stays that of the window"


def test_a_click_outside_the_window_makes_it_hold_all_clicks(session):
    session.add(Click(310, 410))
    session.add(Click(900, 610))
    assert all(session.window.holds(p) for p in session.prompts)
    both = session.page.small | session.page.long
    assert (whole_mask(session) & both).sum() > 0.75 * both.sum()


def test_undo_brings_back_mask_and_window(session):
    session.add(Click(310, 410))
    before = (session.window, whole_mask(session))
    session.add(Click(312, 412))
    session.undo()
    assert session.prompts == (Click(310, 410),)
    session.add(Click(900, 610))
    assert session.window != before[0]
    session.undo()
    assert session.window == before[0]
    np.testing.assert_array_equal(whole_mask(session), before[1])
    assert session.undo() is None
    assert not whole_mask(session).any()


def test_prompts_off_the_page_and_words_are_refused(session):
    for prompt in (Click(W, 5), Text("cat")):
        with pytest.raises(InputError):
            session.add(prompt)
    assert session.prompts == ()


def test_a_box_opens_a_window_of_its_own_size(session):
    session.add(Box(50, 500, 1190, 700), Click(600, 610))
    assert session.window.holds(Box(50, 500, 1190, 700))


def test_coordinates_follow_step_and_origin():
    window = Window(100, 50, 300, 250, 4)
    assert window.to_window(Click(180, 90, False)) == Click(20, 10, False)
    assert window.to_window(Box(100, 50, 300, 250)) == Box(0, 0, 50, 50)
    assert window.to_window(Click(299.9, 60)).x <= window.size[1] - 1


def test_the_whole_mask_goes_to_a_file_tile_by_tile(session, tmp_path):
    session.add(Click(310, 410))
    write_tiles(tmp_path / "mask.tif", (H, W), session.tiles(64), side=64)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), session.page.small)
    assert [p.name for p in tmp_path.iterdir()] == ["mask.tif"]
