"""The pretrained backbone: its shapes, its loading, and what it sees in a real photo."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segue.core.errors import CheckpointError
from segue.models.nano.mobilenet import TAPS, MobileNetV2

VOC = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


def test_every_tap_has_its_stride() -> None:
    maps = MobileNetV2(0.25)(torch.zeros(2, 3, 96, 64))
    assert {s: tuple(m.shape[-2:]) for s, m in maps.items()} == {s: (96 // s, 64 // s) for s in TAPS}


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_training_and_answering_compute_the_same(padding: str) -> None:
    torch.manual_seed(0)
    net = MobileNetV2(0.25, padding)  # type: ignore[arg-type]
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        answered = net(pixels)
    for stride, trained in net(pixels).items():
        torch.testing.assert_close(trained, answered[stride])


def test_arrays_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match="found nothing"):
        MobileNetV2(0.25).load_arrays({"other|weights": np.zeros((8, 3, 3, 3), np.float32)})


def test_the_voc_arrays_name_what_is_in_real_photos(shared: Path) -> None:
    """Rebuilt with DeepLab's own head, the arrays find the persons, dogs and horses that people marked."""
    arrays = dict(np.load(shared / "weights_init" / "voc_deeplab_mobilenet_v2_1.0.npz"))
    net = MobileNetV2().eval()
    net.load_arrays(arrays)
    folder = shared / "data" / "train" / "coco_instances"
    names = json.loads((folder / "classes.json").read_text())
    wanted = {"person", "dog", "horse", "airplane", "train", "motorcycle", "cat"}
    alias = {"airplane": "aeroplane", "motorcycle": "motorbike"}
    right = seen = 0
    for stem in sorted(names)[:60]:
        large = [(k, n) for k, n in names[stem].items() if n in wanted]
        labels = cv2.imread(str(folder / "masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        large = [(k, n) for k, n in large if (labels == int(k)).mean() > 0.08]
        if not large:
            continue
        image = cv2.imread(str(folder / "images" / f"{stem}.jpg"))[:, :, ::-1]
        with torch.no_grad():
            found = deeplab(net, arrays, torch.from_numpy(image.copy())).numpy()
        for key, name in large:
            counts = np.bincount(found[labels == int(key)], minlength=len(VOC))
            right += VOC[int(counts.argmax())] == alias.get(name, name)
            seen += 1
    assert seen >= 10
    assert right / seen > 0.8


def deeplab(net: MobileNetV2, arrays: dict[str, np.ndarray], image: Tensor) -> Tensor:
    """(H, W) VOC classes by DeepLabv3's head with image pooling."""

    def convolve(x: Tensor, name: str) -> Tensor:
        mine = {k: v for k, v in arrays.items() if k.startswith(f"{name}|")}
        bias = next(v for k, v in mine.items() if k.endswith("bias"))
        kernel = next(v for k, v in mine.items() if "weights" in k)
        return F.conv2d(x, torch.from_numpy(kernel.transpose(0, 3, 1, 2).copy()), torch.from_numpy(bias))

    h, w = image.shape[:2]
    pixels = F.pad(image.permute(2, 0, 1)[None].float() / 127.5 - 1, (0, -w % 32, 0, -h % 32))
    deep = net(pixels)[32]
    local = F.relu(convolve(deep, "aspp0"))
    pooled = F.relu(convolve(deep.mean((2, 3), keepdim=True), "image_pooling")).expand_as(local)
    logits = convolve(F.relu(convolve(torch.cat([pooled, local], 1), "concat_projection")), "logits|semantic")
    return F.interpolate(logits, size=pixels.shape[2:], mode="bilinear")[0, :, :h, :w].argmax(0)
