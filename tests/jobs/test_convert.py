"""``segue convert``: a published file in, a folder that ``segue.load`` opens out."""

import numpy as np
import pytest
import torch

from segue.core.errors import CheckpointError, MissingFile
from segue.core.types import Click
from segue.jobs.convert import ConvertConfig, convert
from segue.models.interformer.model import InterFormer
from segue.models.interformer.registry import TINY as INTERFORMER
from segue.models.simpleclick.network import SimpleClickConfig, SimpleClickNet
from segue.models.simpleclick.registry import TINY
from segue.session.load import load
from segue.session.session import Session


@pytest.fixture
def published(tmp_path):
    torch.manual_seed(0)
    net = SimpleClickNet(SimpleClickConfig.from_fields(TINY)).eval()
    stored = {"params": {"backbone_params": {"type": "builtin", "value": {"num_heads": 2}, "specified": True}}}
    torch.save({"state_dict": net.state_dict(), "config": stored}, tmp_path / "published.pth")
    return net, tmp_path / "published.pth"


def test_a_converted_model_answers_like_the_published_weights(published, tmp_path):
    net, path = published
    result = convert(ConvertConfig(checkpoint=path, output=tmp_path / "out"))
    model = load(tmp_path / "out", device="cpu")
    image = np.full((64, 64, 3), 90, np.uint8)
    session = Session(model, image)
    session.add(Click(20, 30))
    points = torch.tensor([[[30.0, 20.0, 0.0], [-1.0, -1.0, -1.0]]])
    with torch.inference_mode():
        expected = net(torch.full((1, 3, 64, 64), 90 / 255), torch.zeros(1, 1, 64, 64), points)
    assert np.allclose(session.prediction.logits, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert result.parameters == sum(p.numel() for p in net.parameters())
    assert result.sha256 in (tmp_path / "out" / "README.md").read_text()


def test_an_mae_encoder_becomes_a_model_to_train(published, tmp_path):
    net, _ = published
    torch.save({"model": net.backbone.state_dict()}, tmp_path / "mae.pth")
    with pytest.raises(CheckpointError, match="--model NAME"):
        convert(ConvertConfig(checkpoint=tmp_path / "mae.pth", output=tmp_path / "out"))
    with pytest.raises(CheckpointError, match="same ViT size"):
        convert(ConvertConfig(checkpoint=tmp_path / "mae.pth", output=tmp_path / "out", model="simpleclick-xtiny"))
    assert not (tmp_path / "out").exists()


def test_what_is_no_model_is_refused_and_nothing_written(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="keys such as a"):
        convert(ConvertConfig(checkpoint=tmp_path / "a.pth", output=tmp_path / "out"))
    with pytest.raises(MissingFile):
        convert(ConvertConfig(checkpoint=tmp_path / "b.pth", output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("depths", "name"), [((2, 1, 2, 1), "interformer-tiny"), ((1, 1, 1, 1), "interformer-light")])
def test_an_mm_style_interformer_is_recognised_and_answers_alike(tmp_path, depths, name):
    torch.manual_seed(0)
    published = InterFormer(**INTERFORMER | {"depths": depths, "neck_heads": (1, 2, 4, 8), "target_size": (512, 512)})
    state = dict(published.eval().net.state_dict())
    index = published.net.backbone.index
    state |= {f"backbone.layers.{i}.attn.relative_position_index": index for i in range(2)}
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, tmp_path / "mm.pth")
    result = convert(ConvertConfig(checkpoint=tmp_path / "mm.pth", output=tmp_path / "out"))
    assert result.model == name
    model, image = load(tmp_path / "out", device="cpu"), np.full((40, 60, 3), 120, np.uint8)
    answers = []
    for one in (model, published):
        session = Session(one, image)
        session.add(Click(20, 20))
        answers.append(session.prediction.logits)
    assert np.allclose(*answers, rtol=1e-5, atol=1e-6)
