"""``segue adapt`` as its users meet it: a folder of masks in, an adapter and an honest report out."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.adapters.base import attach, attached, disabled
from segue.adapters.registry import ADAPTERS
from segue.cli import main
from segue.core.errors import CheckpointError, ConfigError, DataError, UnknownName
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Text
from segue.data.formats.coco import Coco
from segue.data.formats.image_text_mask import ImageTextMask
from segue.data.formats.registry import open_data
from segue.data.io.image import read_labels, write_image, write_labels
from segue.data.record import Annotation
from segue.evaluation.adapt_measure import Played, annotate, kept_rows
from segue.evaluation.adapt_report import verdict
from segue.evaluation.robot import ClickTrace
from segue.jobs.adapt import AdaptConfig, adapt, click_gain, read_samples, split, validation
from segue.models.clipseg.model import CLIPSeg
from segue.models.clipseg.tokens import byte_tokenizer
from segue.models.pretrained import save_pretrained
from segue.models.registry import MODELS
from segue.nn.module import weights_digest
from segue.session.load import build, load
from segue.session.session import Session
from segue.training.adapt_clicks import AdaptTrainer, ClickAdapting, ClickSettings
from segue.training.adapt_text import Said, TextSettings, TextTrainer, prepare, shuffled_by_image


def write_disks(folder: Path, count: int) -> Path:
    """Bright disks on a dark ground, a mask each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    for i in range(count):
        mask = (x - rng.integers(40, 90)) ** 2 + (y - rng.integers(30, 60)) ** 2 < rng.integers(15, 28) ** 2
        image = rng.integers(20, 60, (96, 128, 3)).astype(np.uint8)
        image[mask] += 120
        write_image(folder / "images" / f"disk{i}.png", image)
        write_labels(folder / "masks" / f"disk{i}.png", mask)
    return folder


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 8)


def small(name: str = "nano") -> Segmenter:
    torch.manual_seed(0)
    return build(name, MODELS[name].tiny).eval()


def config(data: Path, output: Path, **changes: Any) -> AdaptConfig:
    return AdaptConfig.from_fields(
        **{
            "data": data,
            "output": output,
            "minutes": 0.02,
            "clock": "cpu",
            "holdout": 0.25,
            "max_clicks": 3,
            "batch": 2,
            "kept": data.parent / "kept",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def adapted(disks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, str, Path, dict[str, Any]]:
    model, output = small(), tmp_path_factory.mktemp("adapter")
    frozen = weights_digest(model)
    return model, frozen, output, adapt(config(disks, output), model)


def test_the_folder_holds_an_adapter_and_what_it_is_worth(adapted: Any) -> None:
    _, _, output, result = adapted
    names = {p.name for p in output.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "report.json",
        "report.md",
        "curve.png",
        "overlays",
    }
    assert json.loads((output / "report.json").read_text())["before"] == result["before"]
    figures = f"{result['before']['noc85']:.4g}, {result['after']['noc85']:.4g}"
    assert f"| noc85, held out, base and adapted | {figures} |" in (output / "README.md").read_text()
    assert {"noc85", "noc90", "bnoc85", "miou1"} <= set(result["after"])
    assert len(result["clicks_saved_each"]) == 2
    assert len(result["mbiou_random"]["after"]) == len(result["mbiou_random"]["clicks"])
    assert result["images"] == {"train": 5, "validation": 1, "held_out": 2}
    assert len(list((output / "overlays").iterdir())) == 2


def test_the_base_is_what_it_was_bit_for_bit(adapted: Any) -> None:
    model, frozen, _, _ = adapted
    with disabled(model):
        assert weights_digest(model) == frozen


def test_the_saved_adapter_answers_as_the_trained_one(adapted: Any, disks: Path, tmp_path: Path) -> None:
    model, _, output, _ = adapted
    with disabled(model):
        save_pretrained(model, tmp_path / "base")
    again = load(tmp_path / "base", adapter=output, device="cpu")
    image = open_data(disks).samples[0].read()[0]
    assert np.array_equal(Session(again, image).add(Click(60, 45)), Session(model, image).add(Click(60, 45)))


def test_another_base_refuses_it(adapted: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_pretrained(build("nano", MODELS["nano"].tiny), tmp_path / "other")
    with pytest.raises(CheckpointError, match="the very model that it was trained on"):
        load(tmp_path / "other", adapter=adapted[2], device="cpu")


def test_no_image_is_on_both_sides(disks: Path, tmp_path: Path) -> None:
    samples = list(open_data(disks).samples)
    train, test = split(samples, config(disks, tmp_path))
    learn, val = validation(train)
    ids = [s.id for s in (*learn, *val, *test)]
    assert sorted(ids) == sorted(s.id for s in samples)
    assert len(test) == 2
    assert [s.id for s in split(samples, config(disks, tmp_path, seed=1))[1]] != [s.id for s in test]


def test_published_splits_are_kept(tmp_path: Path) -> None:
    source = write_disks(tmp_path / "source", 5)
    groups = ("train", "train", "train", "val", "test")
    ImageTextMask().write(
        tmp_path / "split",
        [replace(s, group=g) for s, g in zip(open_data(source).samples, groups, strict=True)],
    )
    train, test = split(list(open_data(tmp_path / "split").samples), config(tmp_path / "split", tmp_path))
    learn, val = validation(train)
    assert ([s.group for s in learn], [s.group for s in val], [s.group for s in test]) == (
        ["train"] * 3,
        ["val"],
        ["test"],
    )


def test_a_coco_file_names_its_images(disks: Path, tmp_path: Path) -> None:
    Coco().write(tmp_path, open_data(disks).samples[:3])
    samples = read_samples(config(tmp_path / "annotations" / "instances.json", tmp_path))
    assert len(samples) == 3
    assert all(s.load().annotations[0].mask.any() for s in samples)


def test_the_base_is_measured_once(disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = small(), open_data(disks).samples[:2]
    with kept_rows(model, tmp_path, most=3) as rows:
        first = [p.course for p in annotate(model, samples, 3, rows=rows)]
    monkeypatch.setattr(model, "encode", lambda *_: pytest.fail("the model was asked again"))
    with kept_rows(model, tmp_path, most=3) as rows:
        again = [p.course for p in annotate(model, samples, 3, rows=rows)]
    assert [(c.clicks, c.ious, c.boundary_ious) for c in again] == [(c.clicks, c.ious, c.boundary_ious) for c in first]


def test_another_base_or_mask_is_measured_anew(disks: Path, tmp_path: Path) -> None:
    model, sample = small(), open_data(disks).samples[0]
    other = Annotation.from_mask(~sample.load().annotations[0].mask, id="other")
    with kept_rows(model, tmp_path, most=3) as rows:
        annotate(model, [sample], 3, rows=rows)
        annotate(model, [replace(sample, load=lambda: replace(sample.load(), annotations=(other,)))], 3, rows=rows)
        assert len(rows) == 2
    torch.manual_seed(1)
    with kept_rows(build("nano", MODELS["nano"].tiny).eval(), tmp_path, most=3) as rows:
        assert len(rows) == 0


def test_without_boundaries_the_report_leaves_them_out(disks: Path, tmp_path: Path) -> None:
    result = adapt(config(disks, tmp_path, minutes=0.005, boundary=False), small())
    page = (tmp_path / "report.md").read_text()
    assert "NoC85" in page
    assert "oundary" not in page
    assert "bnoc85" not in result["after"]
    assert "mbiou_random" not in result


def click_trainer(disks: Path, **settings: Any) -> AdaptTrainer:
    model = small()
    adapter = attach(model, ADAPTERS.load("head")(model))
    return AdaptTrainer(model, adapter, open_data(disks).samples, ClickSettings(views=(64,), **settings), 0)


def test_the_rate_falls_to_zero_as_the_minutes_go_by(disks: Path) -> None:
    trainer, rates = click_trainer(disks, rate=1e-3), []
    trainer.step = 100
    for trainer.progress in (0.0, 0.5, 1.0):
        trainer.update()
        rates.append(trainer.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 5e-4, 0.0])


def test_views_turn_with_their_masks(disks: Path) -> None:
    """The disks are brighter than their ground however a view lies."""
    trainer = click_trainer(disks, colour=0.0)
    for _ in range(8):
        pixels, rows, targets, _ = trainer.batch()
        seen = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), 2)[rows]
        inside = [float(s[t].mean()) for s, t in zip(seen, targets, strict=True)]
        outside = [float(s[~t].mean()) for s, t in zip(seen, targets, strict=True)]
        assert all(i > o + 0.2 for i, o in zip(inside, outside, strict=True))


@pytest.mark.parametrize(("share", "labels"), [(0.0, {1.0}), (1.0, {-1.0})])
def test_a_simulated_user_may_look_on_instead_of_clicking(disks: Path, share: float, labels: set[float]) -> None:
    trainer = click_trainer(disks, seconds=share)
    target = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    target[..., 8:20, 8:20] = True
    clicks = trainer._next(torch.zeros(2, 1, 32, 32), target, torch.zeros_like(target))
    assert set(clicks[:, 2].tolist()) == labels


def test_the_last_weights_are_kept_unless_worse_beyond_chance(disks: Path, tmp_path: Path) -> None:
    """The base costs three clicks; training halves that, wavers, and at last goes astray."""
    model, samples = small(), open_data(disks).samples
    adapter = attach(model, ADAPTERS.load("head")(model))
    run = ClickAdapting(model, adapter, samples, samples, ClickSettings(views=(64,)), tmp_path / "checkpoint.pt")
    first = next(adapter.parameters())
    looks = ([3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 1.0, 2.0], [2.0, 1.0, 1.0, 2.1], [4.0, 4.0, 5.0, 4.0])
    for run.trainer.step, each in enumerate(looks):
        with torch.no_grad():
            first.fill_(float(run.trainer.step))
        run._judge(each)
    kept = run.best[next(name for name, _ in adapter.named_parameters())]
    assert bool((kept == 2).all())
    assert run.course.best_step == 1


def played(*ious: float) -> Played:
    return Played("x", None, ClickTrace([Click(0, 0)] * len(ious), list(ious), list(ious)))  # type: ignore[arg-type]


def test_it_recommends_itself_only_for_a_gain_beyond_chance() -> None:
    better = click_gain([played(0.5, 0.9)] * 20, [played(0.9)] * 20, 20)
    assert better["helps"]
    assert better["clicks_saved"] == 1
    mixed = [played(0.9), played(0.5, 0.9)]
    even = click_gain(mixed * 10, mixed[::-1] * 10, 20)
    assert not even["helps"]
    assert "do not use it" in verdict(even, "saves 0 clicks", even["clicks_saved_interval"])
    assert "It helps" in verdict(better, "saves 1 click", better["clicks_saved_interval"])


def test_an_interrupted_run_goes_on_where_it_stopped(disks: Path, tmp_path: Path) -> None:
    def stop(row: Any) -> None:
        if row["step"] > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(config(disks, tmp_path, minutes=0.1, clock="cpu"), small(), stop)  # however busy the machine
    assert (tmp_path / "checkpoint.pt").exists()
    result = adapt(config(disks, tmp_path, minutes=0.1, clock="cpu", resume=True), small())
    assert result["curve"][0]["step"] == 0
    assert result["curve"][-1]["minutes"] >= 0.1
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("kind", ["lora", "head", "full"])
def test_the_baselines_run_in_the_same_harness(kind: str, disks: Path, tmp_path: Path) -> None:
    result = adapt(config(disks, tmp_path, minutes=0.06, clock="cpu", adapter=kind), small())  # however busy
    assert result["adapter"] == kind
    assert result["steps"] > 0


def test_wrong_input_is_explained(disks: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'detail'"):
        config(disks, tmp_path, adapter="detial")
    with pytest.raises(DataError, match="at least two to train on"):
        adapt(config(write_disks(tmp_path / "few", 2), tmp_path), small())
    with pytest.raises(ConfigError, match="dense"):
        adapt(config(disks, tmp_path, adapter="dense"), small())


def clipseg_folder(folder: Path) -> Path:
    """What a user downloads, at a tiny size: configuration, weights and tokenizer."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(0)
    CLIPSegForImageSegmentation(CLIPSegConfig(**MODELS["clipseg-rd64-refined"].tiny)).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def documented(page: str, command: str) -> list[str]:
    """The first line of the page that types ``segue COMMAND``, as words after ``segue``."""
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"segue {command} "))
    return shlex.split(line)[1:]


def test_the_documented_commands_adapt_words_and_answer_them(disks: Path, tmp_path: Path) -> None:
    """The lines of docs/text.md with a local folder in the place of the published checkpoint, and two epochs."""
    model, output = clipseg_folder(tmp_path / "clipseg"), tmp_path / "polyp-words"
    here = {
        "CIDAS/clipseg-rd64-refined": str(model),
        "polyps": str(disks),
        "polyp-words": str(output),
        "photo.jpg": str(disks / "images" / "disk0.png"),
        "mask.png": str(tmp_path / "mask.png"),
    }
    adapting, saying = ([here.get(w, w) for w in documented("text.md", command)] for command in ("adapt", "mask"))
    adapting += ["--epochs", "2", "--batch", "4", "--device", "cpu", "--json", str(tmp_path / "out.json")]
    assert main(adapting) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert [r["seed"] for r in result["runs"]] == [0, 1, 2]
    assert all(len(r["curve"]) == 2 for r in result["runs"])
    assert {"mean", "spread"} == set(result["after"]["dice"])
    assert "| DSC (%) |" in (output / "report.md").read_text()
    again = load(model, adapter=output, device="cpu")
    assert attached(again)[0].settings == {"variant": "vl", "width": 64}
    assert attached(again)[0].trainable == result["parameters"]
    assert main([*saying, "--device", "cpu"]) == 0
    assert read_labels(tmp_path / "mask.png").shape == (96, 128)


def said(model: CLIPSeg, count: int = 3) -> list[Said]:
    rng = np.random.default_rng(0)
    views = [torch.from_numpy(rng.integers(0, 255, (3, 64, 64), np.uint8)) for _ in range(count)]
    return [Said(str(i), v, torch.rand(64, 64) > 0.7, ("a disk", "one disk")) for i, v in enumerate(views)]


def test_the_text_towers_gradient_reaches_the_adapter() -> None:
    model = small("clipseg-rd64")
    assert isinstance(model, CLIPSeg)
    adapter = attach(model, ADAPTERS.load("dense")(model, variant="vl", width=8))
    trainer = TextTrainer(model, adapter, TextSettings(batch=3))
    loss = trainer.loss(said(model), trainer.generator)[0]
    loss.backward()
    text = {n: p.grad for n, p in adapter.named_parameters() if "text/" in n}
    assert text
    assert all(g is not None and bool(g.any()) for g in text.values())


def test_training_lowers_the_loss_and_leaves_the_base(tmp_path: Path) -> None:
    model = small("clipseg-rd64")
    assert isinstance(model, CLIPSeg)
    frozen = weights_digest(model)
    adapter = attach(model, ADAPTERS.load("dense")(model, width=8))
    masks = said(model)
    course = TextTrainer(model, adapter, TextSettings(batch=3, epochs=12, rate=1e-2)).run(masks, masks)
    assert course.rows[-1]["val_loss"] < course.rows[0]["val_loss"]
    with disabled(model):
        assert weights_digest(model) == frozen


def test_the_rate_falls_and_the_run_ends_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and Dice stand still from the first epoch: a cut to 0.3 after more than five, an end after twenty."""
    model = small("clipseg-rd64")
    adapter = attach(model, ADAPTERS.load("dense")(model, width=8))
    trainer = TextTrainer(model, adapter, TextSettings())  # type: ignore[arg-type]
    assert type(trainer.optimiser) is torch.optim.AdamW
    assert trainer.optimiser.defaults["weight_decay"] == 1e-3
    monkeypatch.setattr(trainer, "epoch", lambda train: 0.0)
    monkeypatch.setattr(trainer, "validate", lambda val: (1.0, 0.5))
    course = trainer.run([], [])
    assert len(course.rows) == 21
    rates = [row["rate"] for row in course.rows]
    assert [round(r, 12) for r in (rates[0], rates[5], rates[6], rates[12], rates[18])] == [
        1e-3,
        1e-3,
        3e-4,
        9e-5,
        2.7e-5,
    ]
    assert course.best_epoch == 0


def test_every_text_of_a_mask_is_drawn_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("clipseg-rd64")
    assert isinstance(model, CLIPSeg)
    trainer = TextTrainer(model, attach(model, ADAPTERS.load("dense")(model, width=8)), TextSettings(batch=3))
    drawn: list[list[str]] = []
    real = trainer.core.decode
    monkeypatch.setattr(
        trainer.core, "decode", lambda maps, texts, size: drawn.append(list(texts)) or real(maps, texts, size)
    )
    for _ in range(8):
        trainer.epoch(said(model))
    assert all(len(texts) == 3 for texts in drawn)
    assert {t for texts in drawn for t in texts} == {"a disk", "one disk"}


def test_masks_of_one_image_stay_together_and_are_all_seen() -> None:
    model = small("clipseg-rd64")
    masks = said(model, 4)  # type: ignore[arg-type]
    doubled = [m for m in masks for _ in range(2)]
    order = shuffled_by_image(doubled, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(8))
    assert all(doubled[a].view is doubled[b].view for a, b in zip(order[::2], order[1::2], strict=True))


def test_masks_without_texts_ask_for_a_name(disks: Path) -> None:
    with pytest.raises(DataError, match="--name"):
        prepare(small("clipseg-rd64"), open_data(disks).samples[:1])


def test_a_text_model_needs_no_clicks(disks: Path, tmp_path: Path) -> None:
    model = small("clipseg-rd64")
    result = adapt(config(disks, tmp_path, adapter="shallow", name="disk", epochs=1, settings={"width": 8}), model)
    image = open_data(disks).samples[0].read()[0]
    assert Session(model, image).add(Text("disk")).shape == image.shape[:2]
    assert result["parameters"] == attached(model)[0].trainable
