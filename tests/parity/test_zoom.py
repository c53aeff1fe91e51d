"""Zoom-in, flip averaging and click maps equal the official code: region by region, probability by probability."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import NO_MEMORY, Click, Features, Prediction
from segue.models.simpleclick.model import grid_points
from segue.models.wrappers import FlipAverage, ZoomIn, ZoomRule, holds_clicks, object_region, region_iou
from segue.nn.clickmaps import click_disks, click_distance_maps


@pytest.fixture(scope="module")
def fixture(parity_dir):
    folder = parity_dir / "clicker-protocol"
    if not folder.is_dir():
        pytest.skip("no clicker-protocol fixture")
    return json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")


class Analytic(Segmenter):
    """The fixtures' network without weights, as a Segmenter at the image's own size."""

    accepts = frozenset({Click})

    def frame(self, size):
        return Frame.resize(size, size, align_corners=True)

    def encode(self, images, frames=None):
        chosen = tuple(frames or (self.frame(i.shape[:2]) for i in images))
        views = [f.view(np.moveaxis(i, -1, 0) / np.float32(255)) for i, f in zip(images, chosen, strict=True)]
        return Features({"image": np.stack(views)}, chosen)

    def decode(self, features, prompts, memory=None):
        image = torch.from_numpy(features.maps["image"])
        previous = torch.from_numpy(memory["probability"]) if memory else torch.zeros_like(image[:, :1])
        disks = click_disks(grid_points(prompts, features.frame), image.shape[-2:], 5)
        grown = 6 * F.max_pool2d(disks[:, :1], 41, 1, 20) - 9 * F.max_pool2d(disks[:, 1:], 21, 1, 10)
        logits = F.avg_pool2d(grown + 2 * previous + 1.5 * (image[:, :1] - 0.5) - 3, 4)
        up = F.interpolate(logits, size=features.frame.grid, mode="bilinear", align_corners=True)
        memory = {"probability": features.frame.view(features.frame.to_image_size(up.sigmoid().numpy()))}
        return Prediction(logits.numpy(), np.ones((1, 1), np.float32), memory, features.frame)

    def memory_from_mask(self, features, probability):
        return {"probability": features.frame.view(probability)[None, None]}

    def fingerprint(self):
        return "analytic"


def wrap(spec):
    model = FlipAverage(Analytic()) if spec["flip"] else Analytic()
    if spec["zoom"] is None:
        return model
    zoom = dict(spec["zoom"])
    target = zoom.pop("target_size")
    target = tuple(target) if isinstance(target, list) else target
    return ZoomIn(model, ZoomRule(target=target, min_crop=zoom["min_crop_size"], skip_clicks=zoom["skip_clicks"]))


@pytest.mark.parametrize("name", ["simpleclick", "ritm", "plain"])
def test_whole_loop(fixture, name):
    config, io = fixture
    case = config["loop"]["cases"][name]
    model = wrap(case["spec"])
    features, memory, clicks = model.encode([io["loop.image"].numpy()]), NO_MEMORY, []
    recorded = dict(zip(case["probs_for_clicks"], io[f"loop.{name}.probs"], strict=True))
    gt = io["loop.gt"]
    for i, (y, x, positive) in enumerate(io[f"loop.{name}.clicks"].tolist()):
        clicks.append(Click(x, y, bool(positive)))
        prediction = model.decode(features, clicks, memory)
        memory, region = prediction.memory, case["rois_after_click"][i]
        assert (memory["region"].tolist() if "region" in memory else None) == region, f"click {i + 1}"
        probability = prediction.probability()
        mask, valid = torch.from_numpy(probability > config["loop"]["pred_thr"]), gt != -1
        overlap, union = (mask & (gt == 1) & valid).sum(), ((mask | (gt == 1)) & valid).sum()
        assert float(overlap / union) == pytest.approx(io[f"loop.{name}.ious"][i].item(), abs=1e-6)
        if i + 1 in recorded:
            assert np.abs(probability - recorded[i + 1].numpy()).max() < 2e-5


def test_every_zoom_case(fixture):
    config, io = fixture
    assert config["zoom"]
    for i, case in enumerate(config["zoom"]):
        mask = io[f"zoom{i}.mask"].numpy() > 0
        clicks = [Click(x, y, bool(positive)) for y, x, positive in case["clicks"]]
        region = object_region(mask, clicks, case["expansion_ratio"], case["min_crop_size"])
        assert list(region) == case["roi"], i
        target = case["target_size"]
        rule = ZoomRule(target=tuple(target) if isinstance(target, list) else target)
        size = tuple(case["shape"])
        frame = ZoomIn(Analytic(), rule).view_of(size, region)
        assert list(frame.resized) == case["roi_image_shape"]
        moved = frame.to_grid(np.array([(c.x, c.y) for c in clicks], np.float64))
        np.testing.assert_allclose(moved[..., ::-1], case["transformed_clicks"], rtol=1e-12, atol=1e-9)
        assert holds_clicks(region, clicks) == case["all_positive_inside"]
        whole = (0, size[0] - 1, 0, size[1] - 1)
        assert region_iou(region, whole) == pytest.approx(case["iou_with_full"], rel=1e-12)


def test_click_maps(fixture):
    _, io = fixture
    points = io["dist.points"]
    size = io["dist.disks"].shape[-2:]
    for name, radius in (("dist.disks", 5), ("dist.disks_r3", 3)):
        torch.testing.assert_close(click_disks(points, size, radius), io[name].float(), rtol=0, atol=0)
    for name, radius in (("dist.tanh", 5), ("dist.tanh260", 260)):
        torch.testing.assert_close(click_distance_maps(points, size, radius), io[name], rtol=0, atol=2e-6)
