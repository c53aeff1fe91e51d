"""Pretrain nano's MobileNetV2 from scratch on photos without labels, by painting in what was masked.

    python examples/pretrain_mae.py --root ../shared/data/train --out runs/mae --minutes 11

Random crops of the photos that a training configuration names and of ``unlabelled_photos``, without those held out;
60 % of the 32-pixel patches are painted grey, and a light decoder guesses their pixels, normalised in each patch
(MAE: He et al., 2022, sections 3 and 4). ``--minutes`` are processor minutes, over which the rate falls to 0; started
again, an interrupted run goes on. ``OUT/backbone.safetensors`` is for ``pretrained_backbone:`` of a configuration.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from segue.core.types import Image
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.network import double
from segue.models.nano.training import standardise
from segue.training.checkpoint import write_checkpoint
from segue.training.config import TrainConfig
from segue.training.optimizers import bf16_pays
from segue.training.packing import build_pack

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "nano-3.yaml"  # whose photos, and which are held out
PATCH, MASKED = 32, 0.6
RATE, WARMUP = 1e-3, 30


class Painter(nn.Module):
    """The backbone and a decoder that paints at stride 8.

    >>> Painter()(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(self, channels: int = 96) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.lateral = nn.ModuleList(nn.Conv2d(self.backbone.channels[s], channels, 1) for s in (32, 16, 8))
        self.mix = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in (32, 16, 8))
        self.paint = nn.Conv2d(channels, 3 * 8 * 8, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """b 3 H W in [-1, 1] -> b 3 H W, normalised pixels."""
        taps, x = self.backbone(pixels), None
        for stride, lateral, mix in zip((32, 16, 8), self.lateral, self.mix, strict=True):
            here = lateral(taps[stride])
            x = F.relu(mix(F.relu(here if x is None else here + double(x))))
        return F.pixel_shuffle(self.paint(x), 8)


class Photos:
    """Square crops of photos, from a third of the shorter side to all of it."""

    def __init__(self, root: Path, config: TrainConfig) -> None:
        labelled = build_pack([root / name for name in config.data.folders], config.data.cache)
        others = build_pack([root / "unlabelled_photos"], config.data.cache)
        kept = set(labelled.held_out(config.data.held_out)[0])
        self.places = [(labelled, i) for i in kept] + [(others, i) for i in range(len(others.photos))]

    def draw(self, count: int, size: int, rng: np.random.Generator) -> Tensor:
        """count 3 size size in [-1, 1]."""
        crops = [self.crop(size, rng) for _ in range(count)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def crop(self, size: int, rng: np.random.Generator) -> Image:
        """One crop (size, size, 3), mirrored half of the time."""
        pack, index = self.places[int(rng.integers(len(self.places)))]
        h, w = pack.photos[index].size
        side = round(min(h, w) * 3.0 ** -rng.uniform())
        y, x = (int(rng.integers(0, extent - side + 1)) for extent in (h, w))
        image = np.array(pack.image(index)[y : y + side, x : x + side])
        return cv2.resize(image[:, :: int(rng.choice((-1, 1)))], (size, size), interpolation=cv2.INTER_AREA)


def masks(count: int, size: int, rng: np.random.Generator) -> Tensor:
    """count 1 size size bool: the same number of patches masked in each.

    >>> masks(2, 160, np.random.default_rng(0)).float().mean((1, 2, 3))
    tensor([0.6000, 0.6000])
    """
    side = size // PATCH
    order = torch.from_numpy(rng.random((count, side * side)).argsort(1).argsort(1))
    small = (order < round(MASKED * side * side)).reshape(count, 1, side, side)
    return small.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)


def normalised(pixels: Tensor) -> Tensor:
    """b 3 H W -> the same, mean 0 and deviation 1 in each patch and channel: MAE's targets."""
    b, c, h, w = pixels.shape
    patches = pixels.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    mean, var = patches.mean((3, 5), keepdim=True), patches.var((3, 5), keepdim=True)
    return ((patches - mean) / (var + 1e-3).sqrt()).reshape(b, c, h, w)


def step(net: Painter, pixels: Tensor, masked: Tensor, bf16: bool) -> Tensor:
    """The mean squared error under the mask."""
    seen = torch.where(masked, 0.0, pixels).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        painted = net(seen)
    errors = (painted.float() - normalised(pixels)).square() * masked
    return errors.sum() / (3 * masked.sum())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the folder of the photos' folders; the configuration's own")
    parser.add_argument("--config", type=Path, default=RECIPE)
    parser.add_argument("--out", type=Path, default=Path("runs/mae"))
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=192)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, checkpoint = TrainConfig.from_file(args.config), args.out / "checkpoint.pt"
    photos = Photos(args.root or config.data.root, config)
    net, bf16 = Painter().to(memory_format=torch.channels_last), bf16_pays(torch.device("cpu"))
    done, spent, total = 0, 0.0, args.minutes * 60
    rng = np.random.default_rng(0)
    first = photos.draw(args.batch, args.size, rng)
    standardise([m for m in net.modules() if isinstance(m, nn.Conv2d)], lambda: net(first))
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.05)
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(kept["net"])
        optimiser.load_state_dict(kept["optimiser"])
        done, spent = kept["done"], kept["spent"]
        rng = np.random.default_rng(done)
    args.out.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "done": done, "spent": spent}
        write_checkpoint(checkpoint, state)

    losses = list[float]()
    while spent < total:
        began = time.process_time()
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (done + 1) / WARMUP, (1 + math.cos(math.pi * spent / total)) / 2)
        loss = step(net, photos.draw(args.batch, args.size, rng), masks(args.batch, args.size, rng), bf16)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        done, spent = done + 1, spent + time.process_time() - began
        if done % 20 == 0:
            print(f"step {done}  minutes {spent / 60:.2f}  loss {np.mean(losses[-20:]):.4f}", flush=True)
        if done % 100 == 0:
            save()
    save()
    state = {k: v.contiguous() for k, v in net.backbone.state_dict().items()}
    save_file(state, args.out / "backbone.safetensors", metadata={"format": "pt"})
    print(f"{done} steps of {args.batch} crops; {args.out / 'backbone.safetensors'}")


if __name__ == "__main__":
    main()
