"""Words whose mask clicks correct."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.annotator.config import AnnotateConfig
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Reference, Text
from segue.models.nano.model import Nano
from segue.models.words import WordsThenClicks
from segue.session.load import load
from segue.session.session import Session
from tests.annotator.fake_model import photo
from tests.annotator.speaking import speaking_folder

WORDS = Text("the blue thing")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIPSeg folder as users download it, tiny and untrained."""
    return speaking_folder(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(scope="module")
def model(words: Path) -> Segmenter:
    return AnnotateConfig(model=str(words), device="cpu").load()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    from segue.data.io.image import read_image

    return read_image(photo(tmp_path / "a.png"))


def test_a_model_of_words_gets_clicks_and_others_stay_as_they_are(model: Segmenter) -> None:
    assert isinstance(model, WordsThenClicks)
    assert model.accepts == {Text, Reference, Click, Box}
    assert isinstance(AnnotateConfig(device="cpu").load(), Nano)


def test_a_click_corrects_the_mask_of_the_words_as_a_brought_mask(model: Segmenter, words: Path, image: Image) -> None:
    said = Session(load(words, device="cpu"), image).add(WORDS)
    assert 0.05 < said.mean() < 0.95, "the untrained model says something"
    alone = Session(load("nano", device="cpu"), image)
    alone.set_mask(said)
    clicks = [Click(110, 80), Click(36, 40, positive=False)]
    session = Session(model, image)
    assert (session.add(WORDS) == said).all()
    for click in clicks:
        assert (session.add(click) == alone.add(click)).all()
    assert session.mask is not None
    assert (session.mask != said).any()
    session.undo()
    assert (session.undo() == said).all()
    assert (session.add(*clicks) == Session(model, image).add(WORDS, *clicks)).all(), "given at once or one by one"


def test_without_words_the_click_model_answers_alone(model: Segmenter, image: Image) -> None:
    one, other = Session(model, image), Session(load("nano", device="cpu"), image)
    for click in (Click(110, 80), Click(60, 80, positive=False)):
        assert (one.add(click) == other.add(click)).all()


def test_words_given_later_begin_again(model: Segmenter, image: Image) -> None:
    session = Session(model, image)
    session.add(Text("something else"))
    session.add(Click(110, 80))
    assert (session.add(WORDS) == Session(model, image).add(WORDS)).all()
    assert (session.add(Click(36, 40)) == Session(model, image).add(WORDS, Click(36, 40))).all()


def test_a_painted_mask_is_where_clicks_begin(model: Segmenter, image: Image) -> None:
    painted = np.zeros(image.shape[:2], bool)
    painted[60:105, 80:144] = True
    one, other = Session(model, image), Session(load("nano", device="cpu"), image)
    one.set_mask(painted)
    other.set_mask(painted)
    assert (one.add(Click(36, 40)) == other.add(Click(36, 40))).all()


def test_the_identity_of_the_features_is_that_of_both_models(model: Segmenter, words: Path) -> None:
    assert isinstance(model, WordsThenClicks)
    again = WordsThenClicks(load(words, device="cpu"), load("nano", device="cpu"))
    assert model.fingerprint() == again.fingerprint()
    with torch.no_grad():
        next(again.inner.parameters()).add_(1)
    assert model.fingerprint() != again.fingerprint()
