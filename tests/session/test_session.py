"""A session: prompts in, masks out, and every step can be taken back exactly."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import ImageError, InputError
from segue.core.types import Click, Features, Image, Text
from segue.session.session import Session, segment
from tests.fakes import ColourModel


@pytest.fixture
def picture() -> Image:
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:20, 5:30] = (250, 20, 20)
    image[25:35, 35:55] = (20, 20, 250)
    return image


def test_a_click_on_each_part_selects_both(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    first = session.add(Click(10, 10))
    assert first[10, 10]
    assert not first[30, 45]
    second = session.add(Click(45, 30))
    assert second[10, 10]
    assert second[30, 45]
    assert not second[0, 0]


def test_undo_restores_mask_prompts_and_memory_exactly(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    first = session.add(Click(10, 10))
    session.add(Click(45, 30, positive=False))
    session.undo()
    assert np.array_equal(session.mask, first)
    assert session.prompts == (Click(10, 10),)
    assert session.prediction is not None
    assert session.prediction.memory["calls"] == 1
    again = session.add(Click(45, 30, positive=False))
    assert session.prediction.memory["calls"] == 2
    assert np.array_equal(again, session.mask)


def test_redo_repeats_and_a_new_click_forgets_what_was_undone(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    session.add(Click(10, 10))
    second = session.add(Click(45, 30))
    session.undo()
    assert np.array_equal(session.redo(), second)
    session.undo()
    session.add(Click(0, 0, positive=False))
    after = session.mask
    assert np.array_equal(session.redo(), after)


def test_undo_at_the_beginning_is_harmless(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    assert session.undo() is None
    assert session.redo() is None
    assert session.mask is None
    assert session.score == 0


def test_a_refused_prompt_changes_nothing(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    before = session.add(Click(10, 10))
    with pytest.raises(InputError, match="0 <= x < 60"):
        session.add(Click(60, 10))
    with pytest.raises(InputError, match="Text prompt"):
        session.add(Text("red"))
    with pytest.raises(InputError, match="no prompt"):
        session.add()
    assert session.prompts == (Click(10, 10),)
    assert np.array_equal(session.mask, before)


def test_a_mask_brought_from_elsewhere_is_the_mask_until_a_click_corrects_it(picture: Image) -> None:
    session = Session(ColourModel(), picture)
    given_mask = picture[..., 0] > 100
    assert np.array_equal(session.set_mask(given_mask), given_mask)
    session.add(Click(10, 10))
    assert session.prediction is not None
    assert session.prediction.memory["calls"] == 101  # the model was told of the mask
    assert np.array_equal(session.undo(), given_mask)


def test_the_image_is_encoded_once_and_the_cache_is_asked_first(picture: Image) -> None:
    class Shelf:
        def __init__(self) -> None:
            self.kept: Features | None = None
            self.asked = 0

        def get(self, model: object, image: Image) -> Features | None:
            self.asked += 1
            return self.kept

        def put(self, model: object, image: Image, features: Features) -> None:
            self.kept = features

    shelf, model = Shelf(), ColourModel()
    first = Session(model, picture, shelf)
    first.add(Click(10, 10))
    first.add(Click(45, 30))
    assert shelf.asked == 1
    second = Session(model, picture, shelf)
    assert np.array_equal(second.add(Click(10, 10)), segment(model, picture, [Click(10, 10)]))
    assert second.features is shelf.kept


def test_a_path_a_pillow_image_grey_and_transparency_are_pictures_too(picture: Image, tmp_path: Path) -> None:
    opaque = np.dstack((picture, np.full(picture.shape[:2], 255, np.uint8)))
    PIL.Image.fromarray(picture).save(tmp_path / "a.png")
    for same in (str(tmp_path / "a.png"), tmp_path / "a.png", PIL.Image.fromarray(picture), opaque):
        assert np.array_equal(Session(ColourModel(), same).image, picture)
    grey = picture[..., 0]
    for same in (grey, grey[..., None], PIL.Image.fromarray(grey)):
        assert np.array_equal(Session(ColourModel(), same).image, np.repeat(grey[..., None], 3, 2))
    assert Session(ColourModel(), picture).image is picture
    with pytest.raises(ImageError, match="float"):
        Session(ColourModel(), picture / 255)
