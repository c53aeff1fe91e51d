"""The DreamBooth example trains a tiny random pipeline, and only on the subject."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segue.data.io.image import write_image, write_labels
from segue.training.dreambooth import Subjects

diffusers = pytest.importorskip("diffusers", reason="needs the extra 'dreambooth'")
PATH = Path(__file__).resolve().parents[2] / "examples" / "dreambooth_with_masks.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("dreambooth_with_masks", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def pipeline():
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()
    ids = SimpleNamespace(input_ids=torch.zeros(1, 3, dtype=torch.long))
    return SimpleNamespace(
        unet=unet,
        vae=vae,
        tokenizer=type("Tokenizer", (), {"model_max_length": 3, "__call__": lambda *_, **__: ids})(),
        text_encoder=lambda i: (torch.ones(1, i.shape[1], 8),),
        scheduler=diffusers.DDPMScheduler(),
    )


@pytest.fixture
def subjects(tmp_path):
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    for i in range(2):
        image = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{i}.png", image)
        write_labels(tmp_path / "masks" / f"{i}.png", mask)
    return Subjects(tmp_path / "photos", tmp_path / "masks", size=64)


@pytest.mark.parametrize("with_class", [False, True])
def test_it_trains(example, subjects, with_class):
    pipe = pipeline()
    before = [p.clone() for p in pipe.unet.parameters()]
    class_pixels = torch.rand(3, 3, 64, 64) * 2 - 1 if with_class else None
    losses = example.train(pipe, subjects, class_pixels, example.Settings("a sks thing", "a thing", 3, rate=1e-3))
    assert len(losses) == 3
    assert all(np.isfinite(losses))
    assert any(not torch.equal(a, b) for a, b in zip(before, pipe.unet.parameters(), strict=True))


def test_class_pictures_are_read_as_squares(example, tmp_path):
    write_image(tmp_path / "a.png", np.full((20, 40, 3), 255, np.uint8))
    pixels = example.read_pixels(tmp_path, 16)
    assert pixels.shape == (1, 3, 16, 16)
    assert float(pixels.min()) == pytest.approx(1)
