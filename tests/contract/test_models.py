"""What every row of the model registry owes its users, on its tiny configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import MissingExtra
from segue.core.segmenter import Segmenter
from segue.core.types import Box, Click, Image, Maps, Memory, Prediction, Prompt, Reference, Text
from segue.models.pretrained import Pretrained
from segue.models.registry import MODELS
from segue.session.load import build
from segue.session.proposals import ProposalSettings, propose
from segue.session.session import Session

NAMES = list(MODELS)


@pytest.fixture(scope="module")
def picture() -> Image:
    y, x = np.mgrid[:71, :93]
    image = np.stack([x * 2, y * 3, (x + y)], -1).astype(np.uint8)
    image[20:50, 30:70] = (240, 40, 30)
    return image


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Segmenter:
    torch.manual_seed(0)
    return tiny(request.param)


def tiny(name: str) -> Segmenter:
    """The row's tiny model; a skip where its libraries are not installed."""
    try:
        return build(name, MODELS[name].tiny).eval()
    except MissingExtra as error:
        pytest.skip(str(error))


def prompts_for(model: Segmenter, image: Image) -> list[Prompt]:
    """One prompt of every kind that the model accepts, clicks last."""
    mask = np.zeros(image.shape[:2], bool)
    mask[20:50, 30:70] = True
    every: dict[type, list[Prompt]] = {
        Reference: [Reference(image, mask)],
        Text: [Text("a red box")],
        Box: [Box(28, 18, 72, 52)],
        Click: [Click(50, 35), Click(10, 5, positive=False)],
    }
    return [p for kind, some in every.items() if kind in model.accepts for p in some]


def answer(model: Segmenter, image: Image, memory: Memory | None = None) -> Prediction:
    return model.decode(model.encode([image]), prompts_for(model, image), memory)


def same(a: Maps, b: Maps) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_a_prediction_has_finite_logits_scores_in_range_and_the_images_size(model: Segmenter, picture: Image) -> None:
    said = answer(model, picture)
    assert said.logits.ndim == 4
    assert said.logits.shape[:2] == said.scores.shape
    assert said.logits.dtype == said.scores.dtype == np.float32
    assert np.isfinite(said.logits).all()
    assert ((said.scores >= 0) & (said.scores <= 1)).all()
    probability = said.probability()
    assert tuple(probability.shape) == picture.shape[:2]
    assert ((probability >= 0) & (probability <= 1)).all()


def test_the_same_question_has_the_same_answer(model: Segmenter, picture: Image) -> None:
    first, second = answer(model, picture), answer(model, picture)
    assert np.array_equal(first.logits, second.logits)
    assert same(first.memory, second.memory)


def test_every_accepted_prompt_is_answered_alone(model: Segmenter, picture: Image) -> None:
    for prompt in prompts_for(model, picture)[: -1 if Click in model.accepts else None]:
        assert Session(model, picture).add(prompt).shape == picture.shape[:2]


def test_a_dialogue_can_be_undone_and_repeated(model: Segmenter, picture: Image) -> None:
    session = Session(model, picture)
    prompts = prompts_for(model, picture)
    masks = [session.add(prompt) for prompt in prompts]
    for mask in reversed(masks[:-1]):
        assert np.array_equal(session.undo(), mask)
    session.undo()
    assert [np.array_equal(session.add(p), m) for p, m in zip(prompts, masks, strict=True)] == [True] * len(masks)


def test_decoding_leaves_memory_and_features_as_they_were(model: Segmenter, picture: Image) -> None:
    features = model.encode([picture])
    prompts = prompts_for(model, picture)
    memory = model.decode(features, prompts).memory
    maps, before = ({k: np.array(v) for k, v in d.items()} for d in (features.maps, memory))
    model.decode(features, [*prompts, prompts[-1]], memory)
    assert same(features.maps, maps)
    assert same(memory, before)


def test_features_are_arrays_with_one_frame_per_image_and_split(model: Segmenter, picture: Image) -> None:
    features = model.encode([picture, picture[:, ::-1].copy()])
    alone = model.encode([picture])
    assert all(isinstance(array, np.ndarray) for array in features.maps.values())
    assert len(features.frames) == 2
    for one, name in ((part, k) for part in features.split()[:1] for k in part.maps):
        assert np.allclose(one.maps[name], alone.maps[name], rtol=1e-5, atol=1e-4)


def test_remembering_a_mask_gives_a_memory_that_decode_takes(model: Segmenter, picture: Image) -> None:
    session = Session(model, picture)
    session.set_mask(picture[..., 0] > 200)
    assert session.add(prompts_for(model, picture)[-1]).shape == picture.shape[:2]


def test_named_sites_are_submodules(model: Segmenter) -> None:
    for site, path in model.sites().items():
        assert model.module.get_submodule(path) is not None, site


def test_the_fingerprint_follows_every_weight(model: Segmenter) -> None:
    before = model.fingerprint()
    assert before == model.fingerprint()
    encoder = next(p for p in model.module.parameters() if p.numel())
    with torch.no_grad():
        encoder.view(-1)[0] += 1
    assert model.fingerprint() != before
    with torch.no_grad():
        encoder.view(-1)[0] -= 1


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_a_model_answers_the_same(name: str, picture: Image, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = tiny(name)
    assert isinstance(model, Pretrained)
    folder = model.save_pretrained(tmp_path / "saved", figures={"NoC 90": 3.5})
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    again = type(model).from_pretrained(folder)
    assert again.name == name
    assert np.array_equal(answer(again, picture).logits, answer(model, picture).logits)
    card = (folder / "README.md").read_text()
    assert MODELS[name].card.licence in card
    assert "| NoC 90 | 3.5 |" in card


@pytest.mark.parametrize("name", NAMES)
def test_the_row_says_where_its_weights_come_from(name: str) -> None:
    row = MODELS[name]
    assert row.summary
    assert row.card.licence
    assert row.card.source.startswith("https://") or row.shipped or row.hub


def test_many_clicks_are_answered_as_one_by_one_and_become_proposals(model: Segmenter, picture: Image) -> None:
    if Click not in model.accepts or Reference in model.accepts:
        pytest.skip("proposals come of clicks")
    features, clicks = model.encode([picture]), [Click(50, 35), Click(10, 5), Click(80, 60)]
    together = list(model.decode_each(features, clicks))
    assert sorted({i for which, _ in together for i in which}) == [0, 1, 2]
    alone = [[said for _, said in model.decode_each(features, [click])] for click in clicks]
    for i in range(len(clicks)):
        several = [(said, which.index(i)) for which, said in together if i in which]
        for (said, at), single in zip(several, alone[i], strict=True):
            assert np.allclose(said.logits[at], single.logits[0], rtol=1e-3, atol=1e-3)
    settings = ProposalSettings(3, predicted_iou=0.0, stability=0.0, crop_layers=1, second_looks=1)
    for proposal in propose(model, picture, settings):
        assert proposal.rle.size == picture.shape[:2]
        assert proposal.rle.area >= settings.min_area
