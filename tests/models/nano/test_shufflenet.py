"""NanoDet's backbone: its shapes, its loading, and that it computes what ncnn computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from segue.core.errors import CheckpointError
from segue.models.nano.pretrained_backbone import read_ncnn
from segue.models.nano.shufflenet import NANODET_MEAN, NANODET_STD, ShuffleNetV2, take_rgb

ROOT = Path(__file__).resolve().parents[2]
STRIDES = (2, 4, 8, 16, 32)


@pytest.fixture(scope="module")
def published(shared: Path) -> ShuffleNetV2:
    """The backbone as NanoDet ships it."""
    net = ShuffleNetV2().eval()
    net.load_layers(read_ncnn(shared / "weights_init" / "nanodet-m.param"))
    return net


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """(1, 3, 256, 320) RGB in 0..255: the part of the photo that the golden numbers were made from."""
    pixels = np.array(Image.open(ROOT / "src" / "segue" / "samples" / "cat.jpg").convert("RGB"))
    return torch.from_numpy(pixels[:256, :320]).permute(2, 0, 1)[None].float()


def normalised(photo: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (NANODET_MEAN, NANODET_STD))
    return (photo.flip(1) - mean) / std


@torch.no_grad()
def test_the_rebuilt_network_computes_what_ncnn_computes(published: ShuffleNetV2, photo: Tensor) -> None:
    golden = np.load(Path(__file__).with_name("nanodet_golden.npz"))  # make_nanodet_golden.py
    for stride, found in published(normalised(photo)).items():
        *shape, mean, deviation = golden[f"summary{stride}"].tolist()
        assert list(found.shape[1:]) == shape
        assert found.mean().item() == pytest.approx(mean, abs=1e-4 * deviation)
        assert found.std().item() == pytest.approx(deviation, rel=1e-3)
        there = found[0].numpy()[tuple(golden[f"places{stride}"].astype(int))]
        np.testing.assert_allclose(there, golden[f"values{stride}"], atol=1e-4 * deviation)


@torch.no_grad()
def test_with_our_pixels_it_sees_the_same(shared: Path, published: ShuffleNetV2, photo: Tensor) -> None:
    """Exactly so away from the border, and all but so at the coarsest stride, where the border reaches everywhere."""
    ours = ShuffleNetV2().eval()
    ours.load_layers(read_ncnn(shared / "weights_init" / "nanodet-m.param"))
    take_rgb(ours.stem, NANODET_MEAN, NANODET_STD)
    theirs, found = published(normalised(photo)), ours(photo / 127.5 - 1)
    torch.testing.assert_close(found[4][..., 2:-2, 2:-2], theirs[4][..., 2:-2, 2:-2], atol=1e-3, rtol=1e-4)
    for stride in STRIDES:
        assert torch.corrcoef(torch.stack([found[stride].flatten(), theirs[stride].flatten()]))[0, 1] > 0.99


def test_every_tap_has_its_stride_and_channels() -> None:
    net = ShuffleNetV2(0.25)
    maps = net(torch.zeros(2, 3, 96, 64))
    assert {s: tuple(m.shape[1:]) for s, m in maps.items()} == {s: (net.channels[s], 96 // s, 64 // s) for s in STRIDES}


def test_training_and_answering_compute_the_same() -> None:
    torch.manual_seed(0)
    net, pixels = ShuffleNetV2(0.25), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        answered = net(pixels)
    for stride, trained in net(pixels).items():
        torch.testing.assert_close(trained, answered[stride])


def test_layers_of_another_network_are_refused() -> None:
    kernel, bias = np.zeros((24, 3, 3, 3), np.float32), np.zeros(24, np.float32)
    with pytest.raises(CheckpointError, match="1 convolutions"):
        ShuffleNetV2().load_layers({"stem": (kernel, bias)})
    with pytest.raises(CheckpointError, match="layer conv1 "):
        ShuffleNetV2().load_layers({f"conv{i}": (kernel, bias) for i in range(80)})
