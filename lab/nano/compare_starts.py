"""Which weights should nano's encoder start from? A short training from each, everything else equal.

    python examples/pretrain_mae.py --data ../shared/data/train --out runs/mae
    python examples/compare_starts.py --shared ../shared --mae runs/mae/backbone.safetensors --out runs
    python examples/compare_starts.py --shared ../shared --out runs --starts voc imagenet   # some of them

Each start leaves its configuration ``OUT/start-<name>.yaml``, its run ``OUT/start-<name>/`` and, in there, what the
robot needed on held-out photos of the training data (``validation.json``). What is done is not repeated and what was
interrupted goes on: stop and start again as you like. ``OUT/starts.md`` is the table, ``starts.json`` its numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from validation_split import photos

import segue
from segue.core.types import Image, Mask
from segue.evaluation.robot import simulate_clicks
from segue.jobs.bench import BenchConfig, bench
from segue.metrics.interaction import noc, quality_at
from segue.session.session import Session
from segue.training.config import TrainConfig

RECIPE = Path(__file__).resolve().parents[1] / "configs" / "nano-3.yaml"  # its photos and their weights
# The model's own views, and smaller ones nearer to the 192 pixels of the training: the order of starts may differ.
VIEWS: dict[str, dict[str, int]] = {"own": {}, "small": {"longest": 256, "zoom": 192, "glance": 0}}
CLICKS, FAILED = 8, 12  # the robot's, and what an object counts that it could not finish
# Pretrained features are kept up to the first block of stride 8 and learn slowly behind it.
PRETRAINED, FRESH = {"backbone_lr": 3e-4}, {"backbone_lr": 8e-4}
STARTS: dict[str, dict[str, Any]] = {
    "voc": {"start": "voc_deeplab_mobilenet_v2_1.0.npz", "frozen": 4, "optimizer": PRETRAINED},
    "imagenet": {"start": "imagenet_mobilenet_v2_1.0.npz", "frozen": 4, "optimizer": PRETRAINED},
    "nanodet": {"start": "nanodet-m.param", "frozen": 1, "optimizer": PRETRAINED, "backbone": "shufflenet"},
    "mae": {"start": None, "frozen": 0, "optimizer": FRESH},
    "none": {"start": None, "frozen": 0, "optimizer": FRESH},
}
SAID = {
    "voc": "COCO + VOC, DeepLab's MobileNetV2",
    "imagenet": "ImageNet, MobileNetV2",
    "nanodet": "COCO boxes, NanoDet's ShuffleNetV2",
    "mae": "masked photos of the training data, MobileNetV2",
    "none": "random, MobileNetV2",
}
HEAD = (
    "| start | views | NoC85 | NoC90 | mIoU@1 | @3 | @5 | parameters (M) | encode (GFLOP) | (ms) | training (min) |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder of weights_init/ and data/train/")
    parser.add_argument("--mae", type=Path, help="what pretrain_mae.py wrote")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--every", type=int, default=2, help="of the held-out objects, how many are passed over")
    args = parser.parse_args(arguments)
    if "mae" in args.starts and args.mae is None:
        parser.error("the start mae needs --mae FILE, which examples/pretrain_mae.py writes")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name in args.starts:
        path = args.out / f"start-{name}.yaml"
        path.write_text(yaml.safe_dump(configuration(name, args), sort_keys=False))
        config = TrainConfig.from_file(path)
        train(path, config)
        rows[name] = validated(config, args.every)
        print(name, rows[name]["figures"], flush=True)
    costs = bench(
        BenchConfig(
            models=tuple(str(r["model"]) for r in rows.values()), size=(480, 640), clicks=1, rounds=20, threads=1
        )
    )["rows"]
    for row, cost in zip(rows.values(), costs, strict=True):
        row["costs"] = {"parameters": cost["parameters"], "encode": cost["encode"]}
    (args.out / "starts.json").write_text(json.dumps(rows, indent=1))
    (args.out / "starts.md").write_text("\n".join(table(rows)) + "\n")
    print("\n".join(table(rows)))


def configuration(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """The recipe of the shipped weights, much shorter and at 192 pixels, from start ``name``."""
    values, own = yaml.safe_load(RECIPE.read_text()), STARTS[name]
    del values["warm"]
    start = args.mae if name == "mae" else own["start"] and args.shared / "weights_init" / own["start"]
    values |= {
        "config": {"backbone": own["backbone"]} if "backbone" in own else {},
        "pretrained_backbone": start and str(start),
        "frozen": own["frozen"],
        "seed": 11,
        "steps": args.steps,
        "threads": 1,
        "output": str(args.out / f"start-{name}"),
    }
    values["config"] |= {"blocks": [3, 2, 2]}
    values["data"] |= {"root": str(args.shared / "data" / "train"), "sizes": [192]}
    values["clicks"] |= {"rounds": [1, 3]}
    values["optimizer"] |= {"lr": 8e-4, **own["optimizer"]}
    return values


def train(path: Path, config: TrainConfig) -> None:
    """One run in a process of its own, on one thread; ``cpu.txt`` sums the processor seconds of its parts."""
    if (config.output / "model").is_dir():
        return
    resume = ["--resume"] if (config.output / "checkpoint.pt").exists() else []
    before = sum(os.times()[2:4])
    try:
        subprocess.run([sys.executable, "-m", "segue", "train", str(path), *resume], check=True)
    finally:
        if config.output.is_dir():
            with (config.output / "cpu.txt").open("a") as file:
                file.write(f"{sum(os.times()[2:4]) - before:.0f}\n")


def validated(config: TrainConfig, every: int) -> dict[str, Any]:
    """What the robot needed for every ``every``-th held-out object; read where it was already written."""
    path, model = config.output / "validation.json", config.output / "model"
    if not path.exists():
        courses = dict[str, list[list[float]]]()
        for view, sizes in VIEWS.items():
            net = segue.load(model, config=sizes, device="cpu")
            courses[view] = [
                simulate_clicks(Session(net, image), target, ignore_mask, max_clicks=CLICKS, boundary=False).ious
                for number, (image, target, ignore_mask) in enumerate(held_out(config))
                if number % every == 0
            ]
        minutes = sum(map(float, (config.output / "cpu.txt").read_text().split())) / 60
        found = {"model": str(model), "objects": len(courses["own"]), "minutes": minutes}
        found["figures"] = {view: figures(rows) for view, rows in courses.items()}
        path.write_text(json.dumps(found | {"courses": courses}, indent=1))
    return dict(json.loads(path.read_text()))


def figures(courses: list[list[float]]) -> list[float]:
    """NoC85, NoC90, mIoU after 1, 3 and 5 clicks."""
    miou = quality_at(courses, CLICKS)
    return [*(noc(courses, target, FAILED) for target in (0.85, 0.9)), *(miou[k - 1] for k in (1, 3, 5))]


def held_out(config: TrainConfig) -> Iterator[tuple[Image, Mask, Mask]]:
    """Image, truth and void of every object of the validation split."""
    for _, image, masks, ignore_mask in photos(config):
        yield from ((image, target, ignore_mask) for target in masks)


def table(rows: dict[str, Any]) -> list[str]:
    """Markdown: a row a start and kind of views; what a start costs in its first row."""
    lines = list(HEAD)
    for name, row in rows.items():
        costs = row["costs"]
        ends = [f"{costs['parameters'] / 1e6:.2f}", f"{costs['encode']['gflops']:.2f}"]
        ends += [f"{1000 * costs['encode']['processor_p50']:.0f}", f"{row['minutes']:.1f}"]
        for view, (noc85, noc90, *miou) in row["figures"].items():
            cells = [SAID[name], view, f"{noc85:.2f}", f"{noc90:.2f}", *(f"{value:.3f}" for value in miou), *ends]
            lines.append(f"| {' | '.join(cells)} |")
            ends = [""] * len(ends)
    return lines


if __name__ == "__main__":
    main()
