"""The published recipes in a few minutes of one core: SimpleClick-xTiny from a short MAE, a small InterFormer.

    python lab/papers/small_runs.py data ../shared/data/train -o runs/small          # every 8th photo is held out
    python lab/papers/small_runs.py mae runs/small --minutes 4                       # paints masked patches
    python lab/papers/small_runs.py recipe runs/small simpleclick-xtiny --steps 200  # writes its configuration
    segue train runs/small/simpleclick-xtiny.yaml
    python lab/papers/small_runs.py curves runs/small/*/metrics.jsonl -o curves.png

Crops are 224 pixels at half the published scale, so that objects fill as much of them; steps, rate and data are ours,
the user, the loss and the augmentation the recipe's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from segue.models.registry import MODELS
from segue.models.simpleclick.vit import VisionTransformer, ViTBlock

GROUPS = ("coco_instances", "coco_person", "wild_animals", "shoes", "produce_table")
SIDE, PATCH, KEPT = 224, 16, 0.25
XTINY = {name: MODELS["simpleclick-xtiny"].config[name] for name in ("embed_dim", "depth", "num_heads")}
CONFIGS = {
    "simpleclick-xtiny": {"img_size": [SIDE, SIDE]},
    "interformer-light": {**XTINY, "img_size": [SIDE, SIDE], "target_size": [SIDE, SIDE], "longest": SIDE},
}


def lay_out(root: Path, folder: Path) -> None:
    """``train`` and ``val`` of ``folder``: links to the photos and masks of ``GROUPS``, and what their READMEs say."""
    for group in GROUPS:
        for number, photo in enumerate(sorted((root / group / "images").iterdir())):
            part = folder / ("val" if number % 8 == 0 else "train")
            for kind, file in (("images", photo), ("masks", root / group / "masks" / f"{photo.stem}.png")):
                link = part / kind / f"{group}-{file.name}"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
    for part in ("train", "val"):
        shutil.copy(root / "coco_instances" / "README.txt", folder / part / "README.txt")


class Painter(nn.Module):
    """MAE (He et al., 2022, section 3): the encoder sees a quarter of the patches, a decoder paints the others."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = VisionTransformer(
            (SIDE, SIDE), (PATCH, PATCH), XTINY["embed_dim"], XTINY["depth"], XTINY["num_heads"]
        )
        nn.init.trunc_normal_(self.vit.pos_embed, std=0.02)
        self.narrow, self.mask = nn.Linear(XTINY["embed_dim"], 96), nn.Parameter(torch.zeros(96))
        self.where = nn.Parameter(0.02 * torch.randn((SIDE // PATCH) ** 2, 96))
        self.decoder = nn.Sequential(ViTBlock(96, 4), ViTBlock(96, 4), nn.LayerNorm(96), nn.Linear(96, 3 * PATCH**2))

    def forward(self, pixels: Tensor) -> Tensor:
        """Mean squared error of the masked patches of (b, 3, SIDE, SIDE), each normalised."""
        patches = F.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2)
        target = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
        tokens = self.vit.patch_embed(pixels) + self.vit.pos_embed[:, 1:]
        count = tokens.shape[1]
        order = torch.rand(tokens.shape[:2]).argsort(1)
        seen, hidden = order[:, : int(KEPT * count)], order[:, int(KEPT * count) :]
        known = self.narrow(self.vit.blocks(take(tokens, seen)))
        whole = self.mask.expand(len(pixels), count, -1).scatter(1, seen[..., None].expand(-1, -1, 96), known)
        return F.mse_loss(take(self.decoder(whole + self.where), hidden), take(target, hidden))


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens (b, k, c) at ``places`` (b, k) of (b, n, c)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))


def pretrain(folder: Path, minutes: float, batch: int = 32, rate: float = 1e-3) -> None:
    """Write ``mae.safetensors``; ``minutes`` are of processor time, over which the rate falls to zero."""
    files = sorted((folder / "train" / "images").iterdir())
    rng, painter = np.random.default_rng(0), Painter()
    optimizer = torch.optim.AdamW(painter.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.05)
    began, step, losses = time.process_time(), 0, list[float]()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    while (spent := (time.process_time() - began) / 60 / minutes) < 1:
        views = [crop(files[int(rng.integers(len(files)))], rng) for _ in range(batch)]
        pixels = (torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255 - mean) / std
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - spent)
        loss = painter(pixels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        step += 1
        if step % 20 == 0:
            print(f"step {step}, {spent:.0%}, loss {np.mean(losses[-20:]):.3f}", flush=True)
    save_file({k: v.contiguous() for k, v in painter.vit.state_dict().items()}, folder / "mae.safetensors")


def crop(file: Path, rng: np.random.Generator) -> np.ndarray:
    """A square (SIDE, SIDE, 3) RGB of half the shorter side at least, mirrored half of the time."""
    image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    side = round(min(image.shape[:2]) * rng.uniform(0.5, 1))
    y, x = (int(rng.integers(extent - side + 1)) for extent in image.shape[:2])
    view = cv2.resize(image[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return view[:, :: -1 if rng.random() < 0.5 else 1].copy()


def recipe(folder: Path, name: str, steps: int, rate: float, policy: str | None, start: bool) -> Path:
    """The shipped recipe ``name`` with what is ours in place of its data, size, rate and length."""
    values = yaml.safe_load(Path("configs", f"{name}.yaml").read_text())
    label = f"{name}-{policy}" if policy else name
    low, high = values["crops"]["scale"]
    own = {"path": str(folder / "train"), "format": "folder"}
    values["crops"] |= {"sources": [own], "validation": {**own, "path": str(folder / "val")}, "size": SIDE}
    values["crops"] |= {"scale": [low / 2, high / 2], "least_area": max(1, values["crops"]["least_area"] // 4)}
    values["crops"] |= {"workers": 1}
    values["simulation"] |= {"policy": policy} if policy else {}
    values["optimizer"]["lr"] = rate
    values["schedule"] = {"kind": "poly", "power": 1.0, "warmup": 20}
    values.pop("epochs", None)
    values.pop("pretrained_backbone", None)
    values |= {"config": CONFIGS[name], "steps": steps, "batch": 8, "effective_batch": 16, "threads": 1, "ema": 0.0}
    values |= {"output": str(folder / label), "validate_every": max(1, steps // 6), "validate_objects": 40}
    values |= {"validate_clicks": 10, "log_every": 10, "device": "cpu"}
    values |= {"pretrained_backbone": str(folder / "mae.safetensors")} if start else {}
    path = folder / f"{label}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def curves(files: Sequence[Path], output: Path) -> None:
    """Loss, and the robot's NoC85 and mIoU on photos held out, by steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axis, key in zip(figure.subplots(1, 3), ("loss", "noc85", "miou3"), strict=True):
        for file in files:
            rows = [row for row in map(json.loads, file.read_text().splitlines()) if key in row]
            axis.plot([r["step"] for r in rows], [r[key] for r in rows], marker=".", label=file.parent.name)
        axis.set(xlabel="steps", title=key)
        axis.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(output, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data")
    data.add_argument("root", type=Path)
    data.add_argument("-o", "--output", type=Path, required=True)
    mae = commands.add_parser("mae")
    mae.add_argument("folder", type=Path)
    mae.add_argument("--minutes", type=float, default=4.0)
    made = commands.add_parser("recipe")
    made.add_argument("folder", type=Path)
    made.add_argument("name", choices=CONFIGS)
    made.add_argument("--steps", type=int, required=True)
    made.add_argument("--lr", type=float, default=5e-4)
    made.add_argument("--policy", choices=("ritm", "decaying"))
    made.add_argument("--from-scratch", action="store_true")
    drawn = commands.add_parser("curves")
    drawn.add_argument("files", type=Path, nargs="+")
    drawn.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "data":
        lay_out(options.root, options.output)
    elif options.command == "mae":
        pretrain(options.folder, options.minutes)
    elif options.command == "recipe":
        print(recipe(options.folder, options.name, options.steps, options.lr, options.policy, not options.from_scratch))
    else:
        curves(options.files, options.output)


if __name__ == "__main__":
    main()
