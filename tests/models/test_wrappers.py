"""Zoom-in and flip averaging around any model: what they look at, what they remember, what they leave alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.core.errors import InputError
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Click, Features, Prediction
from segue.models.simpleclick.model import SimpleClick
from segue.models.simpleclick.registry import TINY
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule, unwrapped
from segue.session.session import Session


class Bright(Segmenter):
    """Segments what is bright, at a grid of 16 pixels padded to a multiple of 12; remembers what it was told."""

    accepts = frozenset({Click})

    def __init__(self, bias=0.0):
        self.bias, self.views = bias, []

    def frame(self, size):
        return Frame.longest(size, 16, multiple=12, align_corners=True)

    def encode(self, images, frames=None):
        chosen = tuple(frames or (self.frame(i.shape[:2]) for i in images))
        self.views += chosen
        pixels = [i.mean(-1, dtype=np.float32) for i in images]
        return Features({"x": np.stack([f.view(p) for f, p in zip(chosen, pixels, strict=True)])[:, None]}, chosen)

    def decode(self, features, prompts, memory=None):
        ramp = np.linspace(0, self.bias, features.maps["x"].shape[-1], dtype=np.float32)
        logits = (features.maps["x"] - 128) / 10 + ramp
        told = memory["told"] if memory else np.zeros(())
        return Prediction(logits, np.full((1, 1), 0.5, np.float32), {"told": told + 1}, features.frame)

    def memory_from_mask(self, features, probability):
        return {"told": probability.mean()}

    def fingerprint(self):
        return "bright"


def picture(height, width, box):
    image = np.zeros((height, width, 3), np.uint8)
    y0, y1, x0, x1 = box
    image[y0:y1, x0:x1] = 255
    return image


def test_flip_averages_an_uneven_model_into_an_even_one_under_padding():
    image = picture(10, 16, (2, 8, 4, 12))  # symmetric; the grid is padded below and to the right
    for model, even in ((Bright(bias=20.0), False), (FlipAverage(Bright(bias=20.0)), True)):
        said = model.decode(model.encode([image]), [Click(8, 5)])
        probability = said.probability()
        assert np.allclose(probability, probability[:, ::-1], rtol=1e-5, atol=1e-4) is even


def test_flip_keeps_a_real_models_symmetry():
    torch.manual_seed(0)
    model = FlipAverage(SimpleClick(**TINY).eval())
    image = np.full((64, 65, 3), 128, np.uint8)
    said = model.decode(model.encode([image]), [Click(32, 30)])
    plain = model.inner.decode(model.inner.encode([image]), [Click(32, 30)])
    assert np.allclose(said.logits, said.logits[..., ::-1], rtol=1e-5, atol=1e-5)
    assert not np.allclose(plain.logits, plain.logits[..., ::-1], rtol=1e-5, atol=1e-3)


def test_zoom_looks_at_the_object_and_finds_more_of_it():
    image = picture(200, 300, (80, 110, 90, 130))
    model = ZoomIn(Bright(), ZoomRule(target=64, skip_clicks=0, min_crop=20))
    session = Session(model, image, threshold=0.5)
    session.add(Click(104, 93))
    frame = session.prediction.frame
    assert frame.crop[2] - frame.crop[0] < 90  # the answer itself showed that the object is small
    found = np.argwhere(session.mask)
    assert np.abs(found.min(0) - (80, 90)).max() <= 1
    assert np.abs(found.max(0) - (109, 129)).max() <= 1
    whole = Session(Bright(), image).add(Click(104, 93))
    edge = np.argwhere(whole).min(0)
    assert np.abs(edge - (80, 90)).max() > 3, "without zooming the outline is coarse"


def test_the_region_stays_until_a_positive_click_leaves_it():
    image = picture(200, 300, (80, 110, 90, 130))
    model = ZoomIn(Bright(), ZoomRule(target=64, skip_clicks=1, min_crop=20))
    session = Session(model, image)
    session.add(Click(100, 90))
    assert session.prediction.frame.is_whole_image
    session.add(Click(110, 100))
    region = session.prediction.memory["region"]
    seen = len(model.inner.views)
    session.add(Click(250, 150, positive=False))
    assert np.array_equal(session.prediction.memory["region"], region)
    assert len(model.inner.views) == seen, "an unchanged view is not encoded again"
    session.add(Click(250, 150))
    assert not np.array_equal(session.prediction.memory["region"], region)
    assert session.prediction.memory["region"][1] >= 150


def test_undo_restores_the_region():
    image = picture(200, 300, (80, 110, 90, 130))
    session = Session(ZoomIn(Bright(), ZoomRule(target=64, skip_clicks=1, min_crop=20)), image)
    session.add(Click(100, 90))
    session.add(Click(110, 100))
    mask, region = session.mask, session.prediction.memory["region"]
    session.add(Click(290, 190))
    session.undo()
    assert np.array_equal(session.mask, mask)
    assert np.array_equal(session.prediction.memory["region"], region)


def test_an_object_that_vanished_is_looked_for_in_the_whole_image():
    image = picture(120, 160, (40, 60, 50, 80))
    model = ZoomIn(Bright(), ZoomRule(target=48, skip_clicks=1, min_crop=20))
    features = model.encode([image])
    memory = NO_MEMORY
    clicks = []
    for x in (60, 62):
        clicks.append(Click(x, 50))
        memory = model.decode(features, clicks, memory).memory
    empty = {**memory, "probability": np.zeros_like(memory["probability"])}
    said = model.decode(features, [*clicks, Click(61, 51)], empty)
    assert said.frame.is_whole_image
    assert np.array_equal(said.memory["region"], memory["region"])


def test_an_imported_mask_is_what_the_inner_model_is_told():
    image = picture(120, 160, (40, 60, 50, 80))
    model = ZoomIn(Bright(), ZoomRule(target=48, skip_clicks=1, min_crop=20))
    features = model.encode([image])
    told = np.zeros((120, 160), np.float32)
    told[40:60, 50:80] = 1
    said = model.decode(features, [Click(60, 50), Click(61, 50)], model.memory_from_mask(features, told))
    assert said.memory["region"][0] <= 40
    assert said.memory["region"][1] >= 59
    assert not said.frame.is_whole_image


def test_a_target_left_open_is_the_inner_models_own_size():
    model = ZoomIn(Bright(), ZoomRule(target=None))
    frame = model.view_of((200, 300), (50, 89, 60, 79))
    own = Bright().frame((40, 20))
    assert frame == replace(own, size=(200, 300), crop=(60, 50, 80, 90))


def test_zoom_goes_outermost():
    model = FlipAverage(ZoomIn(Bright()))
    with pytest.raises(InputError, match="Put ZoomIn outermost"):
        model.encode([np.zeros((20, 20, 3), np.uint8)])


def test_images_of_different_sizes_are_encoded_together_and_answered_alone():
    model = ZoomIn(FlipAverage(Bright()), ZoomRule(target=48, skip_clicks=-1, min_crop=10))
    small, large = picture(24, 36, (5, 12, 9, 20)), picture(48, 72, (20, 30, 9, 20))
    both = model.encode([small, large]).split()
    for features, image in zip(both, (small, large), strict=True):
        alone = model.decode(model.encode([image]), [Click(10, 10)])
        assert np.allclose(model.decode(features, [Click(10, 10)]).probability(), alone.probability())


def test_wrappers_show_the_inner_models_prompts_sites_and_weights():
    core = SimpleClick(**TINY)
    model = ZoomIn(FlipAverage(core))
    assert model.accepts == core.accepts
    assert unwrapped(model) is core
    assert model.module.get_submodule(model.sites()["head"]) is core.net.head
    assert model.fingerprint() != FlipAverage(core).fingerprint() != core.fingerprint()
