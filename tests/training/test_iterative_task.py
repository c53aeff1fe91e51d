"""One step of the published recipes equals a plain re-statement of it: loss and every gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segue.models.interformer.model import InterFormer
from segue.models.interformer.registry import TINY
from segue.models.registry import MODELS
from segue.session.load import build
from segue.training.crop_batches import CropBatch
from segue.training.iterative_task import IterativeTask, Modes
from segue.training.recipe_config import SimulationConfig

Row = tuple[int, int, bool]  # y, x, positive


class OneBatch:
    """Gives the same batch every time."""

    def __init__(self, batch: CropBatch, seed: int) -> None:
        self.given, self.generator = batch, torch.Generator().manual_seed(seed)
        self.batch, self.views_per_epoch = len(batch.targets), 100

    def draw(self) -> CropBatch:
        return self.given


def scene(side: int, clicks: Sequence[Sequence[Row]]) -> CropBatch:
    """Two noisy views with a block each as target."""
    g = torch.Generator().manual_seed(0)
    targets, s = torch.zeros(2, 1, side, side, dtype=torch.bool), side // 8
    targets[0, :, s : 4 * s, s : 5 * s] = targets[1, :, 3 * s : 7 * s, 2 * s : 3 * s] = True
    pixels = torch.rand(2, 3, side, side, generator=g) * 0.5 + 0.4 * targets
    table = torch.full((2, max(map(len, clicks)), 3), -1.0)
    for row, own in enumerate(clicks):
        for k, (y, x, positive) in enumerate(own):
            table[row, k] = torch.tensor([float(x), float(y), float(positive)])
    return CropBatch(pixels, targets, torch.zeros_like(targets), table)


def step_of(model: Any, batch: CropBatch, simulation: SimulationConfig, seed: int) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step of ours."""
    net = model.net
    before = copy.deepcopy(net.state_dict())
    task = IterativeTask(model.training_core(), OneBatch(batch, seed), simulation, Modes.of_module(net))  # type: ignore[arg-type]
    torch.manual_seed(1)
    log = task.step(lambda loss: loss)
    assert log is not None
    net.load_state_dict(before)  # norms have moved
    return log.values["loss"], taken(net)


def taken(net: nn.Module) -> dict[str, Tensor]:
    gradients = {k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return gradients


def focal(probability: Tensor, target: Tensor) -> Tensor:
    """Normalized focal loss of one view, pixel by pixel: alpha 0.5, gamma 2."""
    right = torch.where(target, probability, 1 - probability)
    weight = (1 - right) ** 2
    weight = weight * (weight.numel() / weight.sum()).detach()
    return -(0.5 * weight * torch.log(right)).mean()


def bilinear(old: int, new: int, aligned: bool) -> Tensor:
    """(new, old) matrix of linear interpolation."""
    matrix = torch.zeros(new, old)
    for i in range(new):
        at = i * (old - 1) / (new - 1) if aligned else min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        low = min(int(at), old - 1)
        matrix[i, low] += 1 - (at - low)
        matrix[i, min(low + 1, old - 1)] += at - low
    return matrix


def resized(maps: Tensor, side: int, aligned: bool) -> Tensor:
    grow = bilinear(maps.shape[-1], side, aligned)
    return grow @ maps @ grow.T


def deeper(error: np.ndarray, kind: int) -> np.ndarray:
    return cv2.distanceTransform(np.pad(error, 1).astype(np.uint8), cv2.DIST_L2, kind)[1:-1, 1:-1]


def click_on(missed: np.ndarray, surplus: np.ndarray, share: float, rng: np.random.Generator) -> list[Row]:
    positive = missed.max() > surplus.max()
    depth = missed if positive else surplus
    places = np.argwhere(depth > share * depth.max())
    if not len(places):
        return []
    y, x = places[rng.integers(len(places))]
    return [(int(y), int(x), bool(positive))]


def disk(side: int, y: int, x: int) -> Tensor:
    rows = torch.arange(side)
    return (rows[:, None] - y) ** 2 + (rows[None] - x) ** 2 <= 25


def simpleclick_restated(net: Any, batch: CropBatch, made: list[list[Row]], seed: int) -> float:
    """RITM's iterations with SimpleClick's parts; gradients are left in the network."""
    side, generator = batch.pixels.shape[-1], torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    rounds, previous, made = int(rng.integers(4)), torch.zeros(2, 1, side, side), [list(own) for own in made]
    assert rounds >= 2, "choose another seed"

    def answer() -> Tensor:
        maps = torch.zeros(2, 3, side, side)
        maps[:, :1] = previous
        for row, own in enumerate(made):
            for y, x, positive in own:
                maps[row, 1 if positive else 2][disk(side, y, x)] = 1
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = (batch.pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
        tokens = net.patch_embed_coords(maps)
        logits = net.head(net.neck(net.backbone(pixels, tokens, net.neck.taps(net.config.depth))))
        return torch.sigmoid(resized(logits, side, aligned=True))

    net.eval()
    for _ in range(rounds):
        with torch.no_grad():
            previous = answer()
        for row in range(2):
            shown, target = previous[row, 0].numpy(), batch.targets[row, 0].numpy()
            made[row] += click_on(deeper(target & (shown < 0.49), 5), deeper(~target & (shown > 0.49), 5), 0.5, rng)
    net.train()
    torch.manual_seed(1)
    probability = answer()
    loss = sum(focal(probability[row], batch.targets[row]) for row in range(2)) / 2
    loss.backward()  # type: ignore[union-attr]
    return float(loss.detach())  # type: ignore[union-attr]


def interformer_restated(net: Any, batch: CropBatch, seed: int) -> float:
    """InterFormer's iterations with a running map of labels kept pixel by pixel; gradients are left in the network."""
    side, generator = batch.pixels.shape[-1], torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    odds = [0.6**k for k in range(21)]
    rounds = int(rng.choice(21, p=[o / sum(odds) for o in odds]))
    assert rounds >= 3, "choose another seed"
    labels, made = np.full((2, side, side), 2), [[], []]  # type: ignore[var-annotated]
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    pixels = (batch.pixels * 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)

    def click(row: int, shown: np.ndarray, inner: float) -> None:
        target, free = batch.targets[row, 0].numpy(), np.ones((side, side), bool)
        for y, x, _ in made[row]:
            free[y, x] = False
        share = 1 / (inner + float(np.finfo(np.float32).eps))
        new = click_on(deeper(target & ~shown & free, 0), deeper(shown & ~target & free, 0), share, rng)
        for y, x, positive in new:
            labels[row][disk(side, y, x).numpy()] = 4 if positive else 0
        made[row] += new

    def heads(auxiliary: bool) -> list[Tensor]:
        maps = net.fuse(net.encode(pixels), torch.from_numpy(labels).to(torch.uint8)[:, None])
        two = [net.decode_head(maps)] + ([net.auxiliary_head(maps[2])] if auxiliary else [])
        return [torch.softmax(resized(logits, side, aligned=False), 1)[:, 1:] for logits in two]

    for row in range(2):
        click(row, np.zeros((side, side), bool), 1.0)
    net.eval()
    for _ in range(rounds):
        with torch.no_grad():
            answers = (heads(False)[0][:, 0] > 0.5).numpy()
        for row, shown in enumerate(answers):
            for (y, x), label in np.ndenumerate(labels[row].copy()):
                now = shown[y, x]
                moves = {(2, True): 3, (2, False): 1, (1, True): 2, (3, False): 2}
                labels[row, y, x] = moves.get((int(label), bool(now)), label)
            click(row, shown, 1.7)
    net.train()
    torch.manual_seed(1)
    main, auxiliary = heads(True)
    loss = sum(focal(main[r], batch.targets[r]) + 0.4 * focal(auxiliary[r], batch.targets[r]) for r in range(2)) / 2
    loss.backward()  # type: ignore[union-attr]
    return float(loss.detach())  # type: ignore[union-attr]


def agree(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    largest = max(float(g.abs().max()) for g in theirs.values())
    for name, gradient in theirs.items():
        assert float((ours[name] - gradient).abs().max()) < 1e-5 * max(1.0, largest), name


def test_a_step_of_simpleclick_xtiny_is_the_published_one() -> None:
    torch.manual_seed(0)
    model: Any = build(
        "simpleclick-xtiny", {**MODELS["simpleclick-xtiny"].config, "img_size": (224, 224), "zoom_in": False}
    )
    made: list[list[Row]] = [[(60, 80, True), (10, 10, False)], [(120, 64, True), (130, 70, True), (5, 200, False)]]
    batch, seed = scene(224, made), 0
    loss, ours = step_of(model, batch, SimulationConfig(), seed)
    expected = simpleclick_restated(model.net, batch, made, seed)
    assert loss == pytest.approx(expected, abs=1e-5)
    agree(ours, taken(model.net))


def test_a_step_of_a_small_interformer_is_the_published_one() -> None:
    torch.manual_seed(0)
    model, seed = InterFormer(**TINY), 21
    batch = scene(64, [[], []])
    batch = CropBatch(batch.pixels, batch.targets, batch.ignore_mask, torch.zeros(2, 0, 3))
    loss, ours = step_of(model, batch, SimulationConfig(policy="decaying"), seed)
    expected = interformer_restated(model.net, batch, seed)
    assert loss == pytest.approx(expected, abs=1e-5)
    agree(ours, taken(model.net))


def test_the_number_of_rounds_is_ritms_or_decays_by_gamma() -> None:
    rounds: dict[str, Callable[[np.random.Generator], int]] = {
        policy: IterativeTask(None, OneBatch(scene(8, [[], []]), 0), SimulationConfig(policy=policy), None).rounds  # type: ignore[arg-type]
        for policy in ("ritm", "decaying")
    }
    rng = np.random.default_rng(0)
    shares = np.bincount([rounds["ritm"](rng) for _ in range(20_000)]) / 20_000
    assert shares == pytest.approx([0.25] * 4, abs=5 * (0.25 * 0.75 / 20_000) ** 0.5)
    shares = np.bincount([rounds["decaying"](rng) for _ in range(20_000)], minlength=21) / 20_000
    expected = [0.6**k * 0.4 / (1 - 0.6**21) for k in range(21)]
    assert all(abs(s - e) < 5 * (e / 20_000) ** 0.5 + 1e-9 for s, e in zip(shares, expected, strict=True))
