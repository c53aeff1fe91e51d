"""nano as its users meet it: what a click, a box and a second look do on pictures and photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import segue
from segue.core.errors import CheckpointError
from segue.core.frame import Frame, Size
from segue.core.types import Box, Click, Image, Maps, Mask
from segue.evaluation.robot import next_click
from segue.models.nano.engines import OnnxEngine, TorchEngine
from segue.models.nano.model import Nano
from segue.models.nano.settings import NanoSizes
from segue.models.nano.turn import Turn
from segue.models.nano.views import changed, enforce_clicks, expanded, resample
from segue.models.pretrained import shipped_file
from segue.session.session import Session


@pytest.fixture(scope="module")
def nano() -> Nano:
    model = segue.load("nano", device="cpu")
    assert isinstance(model, Nano)
    return model


@pytest.fixture(scope="module")
def scene() -> tuple[Image, Mask]:
    """Two red disks and a green one on a textured ground."""
    rng = np.random.default_rng(0)
    image = np.full((240, 360, 3), (90, 110, 130), np.uint8)
    image += rng.integers(0, 20, image.shape, np.uint8)
    mask = np.zeros((240, 360), np.uint8)
    for x in (70, 290):
        cv2.circle(image, (x, 120), 40, (200, 40, 30), -1, cv2.LINE_AA)
        cv2.circle(mask, (x, 120), 40, 1, -1)
    cv2.circle(image, (180, 60), 30, (40, 190, 50), -1, cv2.LINE_AA)
    return image, mask.astype(bool)


def overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def photos(shared: Path, count: int) -> list[tuple[Image, NDArray[np.uint8]]]:
    folder = shared / "data" / "train" / "coco_instances"
    stems = sorted(p.stem for p in (folder / "images").iterdir())[:: max(1, 600 // count)][:count]
    read = [
        (cv2.imread(str(folder / "images" / f"{s}.jpg")), cv2.imread(str(folder / "masks" / f"{s}.png"), 0))
        for s in stems
    ]
    return [(np.ascontiguousarray(image[:, :, ::-1]), labels) for image, labels in read]


def test_one_click_finds_a_plain_object(nano: Nano, scene: tuple[Image, Mask]) -> None:
    image, mask = scene
    left = mask & (np.arange(360) < 180)
    assert overlap(Session(nano, image).add(Click(70, 120)), left) > 0.85


def test_a_second_click_far_away_adds_a_disconnected_part(nano: Nano, scene: tuple[Image, Mask]) -> None:
    image, mask = scene
    session = Session(nano, image)
    session.add(Click(70, 120))
    both = session.add(Click(290, 120))
    assert both[120, 70]
    assert both[120, 290]
    assert overlap(both, mask) > 0.75


def test_a_negative_click_takes_a_part_away_again(nano: Nano, scene: tuple[Image, Mask]) -> None:
    image, _ = scene
    session = Session(nano, image)
    session.add(Click(70, 120), Click(290, 120))
    mask = session.add(Click(290, 120, positive=False))
    assert not mask[120, 290]
    assert mask[120, 70]


def test_a_box_selects_what_is_inside_it(nano: Nano, scene: tuple[Image, Mask]) -> None:
    image, mask = scene
    left = mask & (np.arange(360) < 180)
    found = Session(nano, image).add(Box(28, 78, 112, 162))
    assert overlap(found, left) > 0.75


def test_every_clicked_pixel_has_its_label(nano: Nano, shared: Path) -> None:
    """On real photos and with contradictory, scattered clicks, at every turn."""
    rng = np.random.default_rng(0)
    for image, _ in photos(shared, 4):
        session, clicks = Session(nano, image), list[Click]()
        for turn in range(6):
            y, x = (int(rng.integers(side)) for side in image.shape[:2])
            clicks.append(Click(x, y, positive=turn % 3 != 2))
            mask = session.add(clicks[-1])
            last = clicks[-1]
            assert mask[int(last.y), int(last.x)] == last.positive
        for click in clicks[:-1]:
            apart = all(abs(click.x - c.x) + abs(click.y - c.y) > 12 for c in clicks if c is not click)
            if apart:
                assert mask[int(click.y), int(click.x)] == click.positive


def test_a_click_where_the_mask_is_wrong_never_makes_it_much_worse(nano: Nano, shared: Path) -> None:
    drops, turns = [], 0
    for image, labels in photos(shared, 8):
        areas = {int(k): int((labels == k).sum()) for k in np.unique(labels) if k not in (0, 255)}
        target = labels == max(areas, key=lambda k: areas[k])
        session, shown, clicks, before = Session(nano, image), np.zeros_like(target), list[Click](), 0.0
        for _ in range(6):
            clicks.append(next_click(shown, target, None, clicks))
            shown = session.add(clicks[-1])
            drops.append(before - overlap(shown, target))
            before, turns = overlap(shown, target), turns + 1
    assert max(drops) < 0.3
    assert sum(d > 0.1 for d in drops) <= 0.05 * turns


def test_small_objects_are_looked_at_again(nano: Nano) -> None:
    image = np.full((600, 900, 3), 120, np.uint8)
    cv2.circle(image, (700, 130), 18, (220, 60, 40), -1, cv2.LINE_AA)
    features = nano.encode([image])
    said = nano.decode(features, [Click(700, 130)])
    view = Frame.from_array(said.memory["frame"])
    assert not view.is_whole_image
    assert view.scale[0] > 2 * features.frame.scale[0]


def test_a_dialogue_begins_with_a_coarse_pass_and_is_answered_in_a_finer_view(
    nano: Nano, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((600, 900, 3), 120, np.uint8)
    image[60:560, 80:820] = (220, 60, 40)
    grids: list[Size] = []
    decode = Turn._decode

    def spy(turn: Turn, maps: Maps, frame: Frame, *rest: Any) -> tuple[NDArray[np.float32], float]:
        grids.append(frame.grid)
        return decode(turn, maps, frame, *rest)

    monkeypatch.setattr(Turn, "_decode", spy)
    monkeypatch.setattr(nano, "redecode_below_iou", 0.0)
    features = nano.encode([image])
    first = nano.decode(features, [Click(450, 300)])
    nano.decode(features, [Click(450, 300), Click(500, 300)], first.memory)
    view = Frame.from_array(first.memory["frame"])
    assert view == features.frame, "a large object needs no closer look"
    coarse = Frame.longest((600, 900), nano.zoom.coarse_pass, multiple=64).grid
    assert grids == [coarse, view.grid, view.grid]
    grids.clear()
    monkeypatch.setattr(nano, "redecode_below_iou", 1.0)
    nano.decode(features, [Click(450, 300), Click(500, 300)], nano.decode(features, [Click(450, 300)]).memory)
    assert grids == [coarse, *[view.grid] * 3], "only a first answer is decoded again"


def test_a_click_outside_the_region_is_answered_too(nano: Nano) -> None:
    image = np.full((600, 900, 3), 120, np.uint8)
    for centre in ((700, 130), (100, 500)):
        cv2.circle(image, centre, 18, (220, 60, 40), -1, cv2.LINE_AA)
    session = Session(nano, image)
    session.add(Click(700, 130))
    mask = session.add(Click(100, 500))
    assert mask[500, 100]
    assert mask[130, 700]


def test_the_shipped_graphs_and_pytorch_say_the_same(nano: Nano, scene: tuple[Image, Mask]) -> None:
    plain = segue.load("nano", config={"engine": "torch"}, device="cpu")
    assert isinstance(plain, Nano)
    clicks = [Click(70, 120), Click(290, 120)]
    one, other = (m.decode(m.encode([scene[0]]), clicks) for m in (nano, plain))
    assert isinstance(nano.engines.choose("auto"), OnnxEngine)
    assert isinstance(plain.engines.choose("torch"), TorchEngine)
    assert one.frame == other.frame
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-3, rtol=0)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4, rtol=0)
    assert nano.fingerprint() == plain.fingerprint()


def test_a_decoder_that_knows_the_newest_click_says_the_same_in_both_engines(scene: tuple[Image, Mask]) -> None:
    tiny = {"width": 0.25, "channels": (16, 16, 16), "blocks": (1, 1, 1), "heads": 2, "newest": True}
    torch.manual_seed(0)
    plain = Nano(longest=128, zoom=64, coarse_pass=64, engine="torch", **tiny).eval()
    graphs = Nano(longest=128, zoom=64, coarse_pass=64, engine="onnx", **tiny).eval()
    graphs.module.load_state_dict(plain.module.state_dict())
    clicks = [Click(70, 120), Click(290, 120), Click(180, 60, positive=False)]
    answers = []
    for order in (clicks, [clicks[0], clicks[2], clicks[1]]):
        one, other = (m.decode(m.encode([scene[0]]), order).logits for m in (plain, graphs))
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=0)
        answers.append(one)
    assert not np.allclose(*answers), "which click came last matters"


def test_changed_weights_reach_onnx_runtime(scene: tuple[Image, Mask]) -> None:
    torch.manual_seed(0)
    model = Nano(longest=64, zoom=0, width=0.25, channels=(16, 16, 16), blocks=(1, 1, 1), heads=2, engine="onnx").eval()
    before = model.decode(model.encode([scene[0]]), [Click(70, 120)]).logits
    with torch.no_grad():
        model.module.network.decoder.logits.bias.add_(1.0)
    after = model.decode(model.encode([scene[0]]), [Click(70, 120)]).logits
    assert not np.allclose(before, after)


def test_changed_weights_of_the_shipped_model_are_not_answered_by_its_graphs(scene: tuple[Image, Mask]) -> None:
    model = segue.load("nano", device="cpu")
    before = model.decode(model.encode([scene[0]]), [Click(70, 120)]).logits
    assert np.array_equal(before, model.decode(model.encode([scene[0]]), [Click(70, 120)]).logits)
    with torch.no_grad():
        model.module.network.decoder.logits.bias.add_(1.0)
    after = model.decode(model.encode([scene[0]]), [Click(70, 120)]).logits
    assert not np.allclose(before, after)


def test_graphs_of_other_weights_are_refused(tmp_path: Path) -> None:
    weights = shipped_file("nano")
    for path in weights.parent.glob("nano*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Nano.from_shipped(tmp_path / weights.name).engines.torch is None
    other = bytearray(weights.read_bytes())
    other[-1] ^= 1
    (tmp_path / weights.name).write_bytes(bytes(other))
    with pytest.raises(CheckpointError, match="was not made of"):
        Nano.from_shipped(tmp_path / weights.name)


def test_gradients_reach_the_encoder_through_the_network() -> None:
    network = Nano(longest=64, width=0.25, channels=(16, 16, 16), blocks=(1, 1, 1), heads=2).module.network
    maps = network.encoder(torch.zeros(1, 3, 64, 64))
    clicks, previous = torch.tensor([[[20.0, 30.0, 1.0]]]), torch.zeros(1, 1, 32, 32)
    network.decoder(maps, clicks, torch.zeros(1, 4), previous)[0].sum().backward()
    assert network.encoder.backbone.stem.weight.grad is not None


def test_settings_may_be_grouped_or_single_and_called_as_they_were() -> None:
    earlier = Nano(64, zoom=32, glance=48, margin=2.0, smallest=0.5, eager=False, unsure=0.5, blocks=[1, 1, 1])
    now = Nano(
        64,
        0.5,
        zoom={"longest": 32, "coarse_pass": 48, "expansion": 2.0, "min_crop": 0.5, "on_first_click": False},
        sizes=NanoSizes(blocks=(1, 1, 1)),
    )
    assert (earlier.zoom, earlier.sizes, earlier.redecode_below_iou) == (now.zoom, now.sizes, now.redecode_below_iou)
    with pytest.raises(TypeError, match="colour"):
        Nano(colour=1)


def test_the_model_keeps_to_its_size(nano: Nano) -> None:
    assert sum(p.numel() for p in nano.module.parameters()) < 8_000_000
    for path in shipped_file("nano").parent.iterdir():
        assert path.stat().st_size < 8_000_000


def test_enforced_clicks_reach_the_lifted_pixel() -> None:
    frame = Frame.longest((50, 90), 128, multiple=64)
    for x, y, positive in ((0, 0, True), (89, 49, True), (44, 20, False)):
        logits = np.full((64, 64), -5.0 if positive else 5.0, np.float32)
        at = frame.to_grid(np.array([x + 0.5, y + 0.5]))
        forced = enforce_clicks(logits, np.array([[[at[0], at[1], float(positive)]]], np.float32))
        assert bool(frame.to_image_probability(forced)[y, x] > 0.5) == positive


def test_resampling_between_views_keeps_places() -> None:
    whole = Frame.longest((100, 200), 128, multiple=64)
    part = whole.zoomed((100, 20, 180, 80), (96, 128), multiple=64)
    region = np.zeros(tuple(s // 2 for s in part.grid), np.float32)
    region[: part.resized[0] // 2, : part.resized[1] // 2] = 1  # the region itself
    lifted = whole.to_image_size(resample(region, part, whole))
    assert lifted[50, 140] > 0.9
    assert lifted[50, 90] < 0.1
    assert lifted[10, 140] < 0.1
    back = resample(resample(region, part, whole), whole, part)
    assert np.abs(back[2:40, 2:50] - 1).max() < 0.05


def test_regions_stay_in_the_image_and_move_only_when_needed() -> None:
    crop = expanded(np.array([2.0, 3.0]), np.array([20.0, 90.0]), 1.4, 32, (100, 200))
    assert crop[0] == 0
    assert crop[1] == 0
    assert crop[3] <= 100
    whole = Frame.longest((100, 200), 128, multiple=64)
    near = whole.zoomed((10, 10, 60, 60), (128, 128), multiple=64)
    assert not changed(near, whole.zoomed((12, 10, 64, 62), (128, 128), multiple=64))
    assert changed(near, whole)


def test_the_fingerprint_knows_every_setting_but_not_how_it_is_spelt(nano: Nano) -> None:
    assert segue.load("nano", config={"channels": [128, 64, 48]}, device="cpu").fingerprint() == nano.fingerprint()
    assert segue.load("nano", config={"coarse_pass": 0}, device="cpu").fingerprint() != nano.fingerprint()
    assert segue.load("nano", config={"width": 1.0}, device="cpu").fingerprint() == nano.fingerprint()
