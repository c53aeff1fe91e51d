"""Starts of nano's encoder: files of three kinds, and those that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segue.core.errors import CheckpointError, MissingFile
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.pretrained_backbone import HALF, read_ncnn, start_backbone
from segue.models.nano.shufflenet import ShuffleNetV2

LAYERS = """7767517
4 4
Input            pixels 0 1 pixels
Convolution      wide   1 1 pixels a 0=2 1=1 5=1 6=6 9=2 -23310=1,1.000000e-01
ConvolutionDepthWise each 1 1 a b 0=2 1=3 4=1 6=18 7=2
"""


def ncnn(folder: Path, mark: int = 0, kind: type = np.float32, cut: int = 0) -> Path:
    """Two convolutions: kernels 0..5 and 0..17, the first with biases 7 and 8."""
    (folder / "net.param").write_text(LAYERS)
    parts = [
        np.uint32(mark),
        np.arange(6, dtype=kind),
        np.float32([7, 8]),
        np.uint32(mark),
        np.arange(18, dtype=kind),
    ]
    data = b"".join(part.tobytes() for part in parts)
    (folder / "net.bin").write_bytes(data[: len(data) - cut])
    return folder / "net.param"


@pytest.mark.parametrize(("mark", "kind"), [(0, np.float32), (HALF, np.float16)])
def test_convolutions_come_in_order_whatever_their_precision(tmp_path: Path, mark: int, kind: type) -> None:
    layers = read_ncnn(ncnn(tmp_path, mark, kind))
    assert {name: (kernel.shape, bias.tolist()) for name, (kernel, bias) in layers.items()} == {
        "wide": ((2, 3, 1, 1), [7, 8]),
        "each": ((2, 1, 3, 3), [0, 0]),
    }
    assert layers["each"][0].ravel().tolist() == list(range(18))


def test_damaged_and_foreign_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Copy it again"):
        read_ncnn(ncnn(tmp_path, cut=4))
    with pytest.raises(CheckpointError, match="float16 or float32"):
        read_ncnn(ncnn(tmp_path, mark=0x000D4B38))  # int8
    with pytest.raises(CheckpointError, match="2 convolutions"):
        start_backbone(ShuffleNetV2(), ncnn(tmp_path))
    (tmp_path / "net.bin").unlink()
    with pytest.raises(MissingFile, match=r"net\.bin"):
        read_ncnn(tmp_path / "net.param")


def test_every_byte_of_nanodet_is_accounted_for(shared: Path) -> None:
    param = shared / "weights_init" / "nanodet-m.param"
    used = sum(4 + -(-k.size * 2 // 4) * 4 + b.nbytes for k, b in read_ncnn(param).values())
    assert used == param.with_suffix(".bin").stat().st_size


def test_a_backbone_that_was_pretrained_here_comes_back(tmp_path: Path) -> None:
    before, after = MobileNetV2(0.25), MobileNetV2(0.25)
    save_file(before.state_dict(), tmp_path / "backbone.safetensors")
    start_backbone(after, tmp_path / "backbone.safetensors")
    assert all(torch.equal(v, after.state_dict()[k]) for k, v in before.state_dict().items())


def test_a_start_of_another_backbone_says_which_to_choose(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Set backbone:"):
        start_backbone(MobileNetV2(0.25), ncnn(tmp_path))
    with pytest.raises(CheckpointError, match=r"\.npz for backbone mobilenet"):
        start_backbone(ShuffleNetV2(0.25), tmp_path / "voc.npz")
