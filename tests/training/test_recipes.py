"""The shipped recipes hold the papers' settings; each number with where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segue.models.registry import MODELS
from segue.session.config import read_fields
from segue.session.load import build
from segue.training.config import OptimizerConfig, TrainConfig
from segue.training.optimizers import build_optimizer, parameter_groups
from segue.training.schedules import Position, Schedule

CONFIGS = Path(__file__).parents[2] / "configs"
Row = dict[str, tuple[Any, str]]

SC = "github.com/uncbiag/SimpleClick, models/iter_mask/plainvit_{}_itermask.py"
IF = "github.com/YouHuang67/InterFormer, configs/_base_/{}.py"
SLIDES, PAPER, CLICK_ADAPTER = (
    "SimpleClick slides, Implementation Details",
    "InterFormer, section 4.1",
    "ClickAdapter, IV-A",
)

SAMPLER: Row = {
    "simulation.policy": ("ritm", SC.format("base448_cocolvis")),
    "simulation.most_clicks": (24, SC.format("base448_cocolvis") + ": num_max_points"),
    "simulation.count_gamma": (0.8, SC.format("base448_cocolvis") + ": prob_gamma"),
    "simulation.negatives": ((0.1, 0.4, 0.5), "isegm/data/points_sampler.py: defaults of bg, other, border"),
    "simulation.iterations": (3, SC.format("base448_cocolvis") + ": max_num_next_clicks"),
    "simulation.learned": ("last", "isegm/engine/trainer.py: batch_forward"),
    "crops.merge": (0.15, SC.format("base448_cocolvis") + ": merge_objects_prob"),
    "crops.size": (448, SC.format("base448_cocolvis") + ": crop_size"),
    "crops.padding": ("around", "albumentations' PadIfNeeded"),
    "crops.colour": ("ritm", SC.format("base448_cocolvis") + ": RandomBrightnessContrast, RGBShift"),
    "optimizer.kind": ("adam", SC.format("base448_cocolvis")),
    "optimizer.weight_decay": (0.0, "isegm/engine/optimizer.py: none without --layerwise-decay"),
    "optimizer.layer_decay": (1.0, "train.py: --layerwise-decay is off by default"),
    "optimizer.clip": (None, "isegm/engine/trainer.py"),
    "schedule.kind": ("milestones", SC.format("base448_cocolvis") + ": MultiStepLR"),
    "schedule.gamma": (0.1, SC.format("base448_cocolvis")),
    "schedule.warmup": (0, SC.format("base448_cocolvis")),
}
COCO_LVIS: Row = {
    "crops.scale": ((0.75, 1.4), SC.format("base448_cocolvis")),
    "crops.flip": ("horizontal", SC.format("base448_cocolvis")),
    "crops.turns": (0.0, SC.format("base448_cocolvis")),
    "crops.tilt": (0.0, SC.format("base448_cocolvis")),
    "crops.least_area": (1000, SC.format("base448_cocolvis") + ": min_object_area"),
    "crops.background": (0.05, SC.format("base448_cocolvis") + ": keep_background_prob"),
    "crops.epoch": (30000, SC.format("base448_cocolvis") + ": epoch_len"),
}
SBD: Row = {
    "crops.scale": ((0.75, 1.25), SC.format("base448_sbd")),
    "crops.flip": ("any", SC.format("base448_sbd") + ": Flip"),
    "crops.turns": (0.5, SC.format("base448_sbd") + ": RandomRotate90"),
    "crops.tilt": (0.75, SC.format("base448_sbd") + ": ShiftScaleRotate"),
    "crops.least_area": (80, SC.format("base448_sbd")),
    "crops.background": (0.01, SC.format("base448_sbd")),
    "crops.epoch": (None, SC.format("base448_sbd") + ": every image once"),
}
ALL_55: Row = {
    "epochs": (55, SLIDES),
    "schedule.milestones": ((50.0, 55.0), SC.format("base448_cocolvis")),
    "optimizer.lr": (5e-5, SC.format("base448_cocolvis")),
}
XTINY: Row = {
    "epochs": (230, SC.format("xtiny448_cocolvis")),
    "schedule.milestones": ((200.0, 230.0), SC.format("xtiny448_cocolvis")),
    "optimizer.lr": (5e-5, SC.format("xtiny448_cocolvis")),
    "effective_batch": (32, SC.format("xtiny448_cocolvis")),
}
XTINY_SBD: Row = {
    "epochs": (1001, SC.format("xtiny448_sbd")),
    "schedule.milestones": ((800.0, 900.0), SC.format("xtiny448_sbd")),
    "optimizer.lr": (1e-5, SC.format("xtiny448_sbd")),
    "effective_batch": (32, SC.format("xtiny448_sbd")),
}
INTERFORMER: Row = {
    "steps": (320000, PAPER),
    "effective_batch": (16, PAPER),
    "crops.size": (512, PAPER),
    "crops.scale": ((0.5, 2.0), PAPER),
    "crops.flip": ("horizontal", IF.format("coco_lvis_512x512")),
    "crops.padding": ("end", IF.format("coco_lvis_512x512") + ": Pad"),
    "crops.most_of_one": (0.75, IF.format("coco_lvis_512x512") + ": cat_max_ratio"),
    "crops.colour": ("photometric", IF.format("coco_lvis_512x512")),
    "crops.merge": (0.0, IF.format("coco_lvis_512x512") + ": merge_prob"),
    "crops.least_area": (1, IF.format("coco_lvis_512x512") + ": min_area_ratio 0"),
    "crops.background": (0.0, "interformer/datasets/pipelines/object_sampler.py"),
    "simulation.policy": ("decaying", PAPER),
    "simulation.most_rounds": (20, PAPER),
    "simulation.gamma": (0.6, PAPER),
    "simulation.inner": (1.7, IF.format("interformer_tiny") + ": sfc_inner_k"),
    "simulation.learned": ("last", "interformer/segmentors/base.py: forward_train"),
    "simulation.auxiliary": (0.4, IF.format("interformer_tiny")),
    "optimizer.kind": ("adamw", PAPER),
    "optimizer.lr": (1e-4, PAPER),
    "optimizer.weight_decay": (0.05, IF.format("interformer_tiny")),
    "schedule.kind": ("poly", PAPER),
    "schedule.power": (1.0, IF.format("interformer_tiny")),
    "schedule.floor": (0.0, IF.format("interformer_tiny") + ": min_lr"),
    "schedule.warmup": (1500, IF.format("interformer_tiny")),
    "schedule.warmup_from": (1e-6, IF.format("interformer_tiny") + ": warmup_ratio"),
}
ADAPTER: Row = {
    "adapter": ("detail", CLICK_ADAPTER),
    "epochs": (60, CLICK_ADAPTER),
    "schedule.milestones": ((50.0, 55.0), CLICK_ADAPTER),
    "optimizer.lr": (5e-6, CLICK_ADAPTER),
    "effective_batch": (8, "ClickAdapter, IV-B: 4 GPUs, 2 views each"),
}
BATCHES = {"base": 140, "large": 72, "huge": 32}
PUBLISHED: dict[str, Row] = {
    **{
        f"simpleclick-{s}": {**SAMPLER, **COCO_LVIS, **ALL_55, "effective_batch": (b, SLIDES)}
        for s, b in BATCHES.items()
    },
    **{
        f"simpleclick-{s}-sbd": {**SAMPLER, **SBD, **ALL_55, "effective_batch": (b, SLIDES)} for s, b in BATCHES.items()
    },
    "simpleclick-xtiny": {**SAMPLER, **COCO_LVIS, **XTINY},
    "simpleclick-xtiny-sbd": {**SAMPLER, **SBD, **XTINY_SBD},
    **{f"interformer-light{v}": {**INTERFORMER, "optimizer.layer_decay": (0.65, PAPER)} for v in ("", "-sbd")},
    **{f"interformer-tiny{v}": {**INTERFORMER, "optimizer.layer_decay": (0.75, PAPER)} for v in ("", "-sbd")},
    **{f"clickadapter-{s}": {**SAMPLER, **COCO_LVIS, **ADAPTER} for s in ("base", "large", "b0", "b3")},
    **{f"clickadapter-{s}-sbd": {**SAMPLER, **SBD, **ADAPTER} for s in ("base", "large", "b0", "b3")},
}


def recipe(name: str) -> TrainConfig:
    return TrainConfig.from_file(CONFIGS / f"{name}.yaml")


def setting(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part)
    return config


def test_every_recipe_has_its_table() -> None:
    assert {p.stem for p in CONFIGS.glob("*.yaml")} - {"nano"} == PUBLISHED.keys()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_recipe_holds_the_published_settings(name: str) -> None:
    config = recipe(name)
    found = {path: setting(config, path) for path in PUBLISHED[name]}
    assert found == {path: value for path, (value, _) in PUBLISHED[name].items()}
    assert config.ema == 0
    assert config.accumulated(1) * config.batch == config.effective_batch
    assert config.model in MODELS


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_recipe_learns_from_the_published_data(name: str) -> None:
    sources = read_fields(CONFIGS / f"{name}.yaml")["crops"]["sources"]
    stuff = [s.get("stuff", 1.0) for s in sources]
    if name.endswith("-sbd"):
        assert [(s["format"], s["split"]) for s in sources] == [("sbd", "train")]
    else:
        assert ["panoptic_train2017" in sources[0]["path"], "lvis_v1_train" in sources[1]["path"]] == [True, True]
        assert stuff[0] == (1.0 if name.startswith("interformer") else 0.3)


def test_interformers_rate_rises_over_1500_steps_then_falls_to_zero() -> None:
    """By hand: (1 - s / 320000) x (1e-6 + (1 - 1e-6) x s / 1500)."""
    config = recipe("interformer-light")
    schedule = Schedule(config.schedule, config.steps)
    rates = [1e-4 * schedule.factor(Position(s, 0, 0), s / 320000) for s in (0, 1, 750, 1500, 160000, 319999)]
    expected = [1e-10, 6.6766e-8, 4.98829e-5, 9.953125e-5, 5e-5, 3.125e-10]
    assert rates == pytest.approx(expected, rel=1e-4)


def test_simpleclicks_rate_is_cut_after_epoch_50() -> None:
    schedule = Schedule(recipe("simpleclick-base").schedule)
    factors = [schedule.factor(Position(0, epoch, 0), epoch / 55) for epoch in (0, 49.99, 50, 54.99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1])


def test_layer_decay_and_what_does_not_decay() -> None:
    """The last block learns at 0.65 of the rate, the embeddings at 0.65^(depth + 1); vectors are not decayed, class
    token and position embedding only where InterFormer's code decays them."""
    model = build("interformer-light", MODELS["interformer-light"].tiny)
    optimizer = recipe("interformer-light").optimizer
    for config, decays in ((optimizer, 0.05), (optimizer.model_copy(update={"decay_embeddings": False}), 0.0)):
        groups = parameter_groups(model.module, config)
        of = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        named = {name.removeprefix("net."): of[id(p)] for name, p in model.module.named_parameters()}
        assert named["backbone.layers.1.ffn.layers.1.weight"] == pytest.approx((1e-4 * 0.65, 0.05))
        assert named["backbone.layers.0.ln1.weight"] == pytest.approx((1e-4 * 0.65**2, 0.0))
        assert named["backbone.pos_embed"] == pytest.approx((1e-4 * 0.65**3, decays))
        assert named["decode_head.conv_seg.weight"] == pytest.approx((1e-4, 0.05))


def test_adam_takes_weight_decay_into_the_gradient() -> None:
    """One step: Adam's change is the rate times the sign of gradient + decay x weight; AdamW's shrinks beside."""
    ends = {}
    for kind in ("adam", "adamw"):
        layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(layer.weight, 2.0)
        optimizer = build_optimizer(parameter_groups(layer, OptimizerConfig(lr=0.1, weight_decay=0.5)), kind)
        layer(torch.tensor([[-0.5]])).sum().backward()  # gradient -0.5, with decay 0.5
        optimizer.step()
        ends[kind] = float(layer.weight.detach())
    assert ends == pytest.approx({"adam": 1.9, "adamw": 2.0 * 0.95 + 0.1})
