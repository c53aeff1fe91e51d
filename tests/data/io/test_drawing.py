"""Pictures for people: captions, sheets and tints."""

from __future__ import annotations

import numpy as np
import pytest

from segue.data.io.drawing import BLUE, NEGATIVE, TINTS, captioned, contrasting, in_rows


def test_a_caption_stands_below_the_picture_and_the_picture_stays_whole() -> None:
    tile = captioned(np.full((40, 80, 3), 90, np.uint8), "photo.jpg", "0.97", side=160)
    assert (tile[40:120] == 90).all()
    assert (tile[160:] < 100).any()


def test_a_note_is_written_in_its_colour() -> None:
    tile = captioned(np.zeros((8, 8, 3), np.uint8), "a", "not found", side=160, note_color=NEGATIVE)
    redness = tile[160:, :, 0].astype(int) - tile[160:, :, 1]
    assert redness[:, 80:].max() > 100
    assert redness[:, :80].max() == 0


def test_a_long_name_leaves_room_for_the_note() -> None:
    blank = np.zeros((8, 8, 3), np.uint8)
    note = captioned(blank, "", "0.12", side=160)
    both = captioned(blank, "a-very-long-name-of-a-photo-from-a-microscope-0001.tif", "0.12", side=160)
    assert (note[160:, -24:] == both[160:, -24:]).all()


@pytest.mark.parametrize("tint", TINTS)
def test_a_tint_is_never_the_objects_own_colour(tint: tuple[int, int, int]) -> None:
    image, mask = np.full((4, 4, 3), tint, np.uint8), np.ones((4, 4), bool)
    assert contrasting(image, mask) != tint
    assert contrasting(image, mask, used=[contrasting(image, mask)]) != contrasting(image, mask)


def test_an_empty_mask_has_a_tint_too() -> None:
    assert contrasting(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)) == BLUE


def test_rows_keep_tiles_as_they_are() -> None:
    tiles = [np.full((10, 20, 3), value, np.uint8) for value in (1, 2, 3)]
    sheet = in_rows(tiles, (10, 20), columns=2, gap=2)
    assert (sheet[2:12, 2:22] == 1).all()
    assert (sheet[14:24, 2:22] == 3).all()
