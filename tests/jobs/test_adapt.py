"""``segue adapt`` as its users meet it: a folder of masks in, an adapter and an honest report out."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.adapters.base import attached, disabled
from segue.cli import main
from segue.core.errors import CheckpointError, ConfigError, DataError, ImageError, MissingFile, UnknownName
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Text
from segue.data.formats.coco import Coco
from segue.data.formats.image_text_mask import ImageTextMask
from segue.data.formats.registry import open_data
from segue.data.io.image import read_labels, write_image, write_labels
from segue.evaluation.adapt_result import ClickAdaptResult, TextAdaptResult
from segue.jobs.adapt import adapt, read_samples, split
from segue.jobs.adapt_training import validation_split
from segue.jobs.convert_data import convert_data
from segue.models.clipseg.tokens import byte_tokenizer
from segue.models.pretrained import save_pretrained
from segue.models.registry import MODELS
from segue.nn.module import weights_digest
from segue.session.load import build, load
from segue.session.session import Session
from segue.training.config import AdaptConfig
from tests.training.toys import small, write_disks


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 8)


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
            "cache_dir": data.parent / "cache",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def adapted(disks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmenter, str, Path, ClickAdaptResult]:
    model, output = small(), tmp_path_factory.mktemp("adapter")
    frozen = weights_digest(model.module)
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
    assert json.loads((output / "report.json").read_text())["before"] == result.before
    figures = f"{result.before['noc85']:.4g}, {result.after['noc85']:.4g}"
    assert f"| noc85, held out, base and adapted | {figures} |" in (output / "README.md").read_text()
    assert {"noc85", "noc90", "bnoc85", "miou1"} <= set(result.after)
    assert len(result.clicks_saved_each) == 2
    assert len(result.mbiou_random.after) == len(result.mbiou_random.clicks)
    assert result.images.to_json() == {"train": 6, "validation": 6, "held_out": 2}
    assert result.cross_validated  # six images: one in six could not tell when to stop
    assert "cross-validation" in result.ended
    assert "the 6 they left out" in (output / "report.md").read_text()
    assert result.verdict == "not proven"  # two images prove nothing
    assert result.sentence in (output / "report.md").read_text()
    assert len(list((output / "overlays").iterdir())) == 2


def test_progress_rises_through_all_runs_of_the_cross_validation(disks: Path, tmp_path: Path) -> None:
    rows = list[Mapping[str, float]]()
    began = time.monotonic()
    result = adapt(config(disks, tmp_path, boundary=False), small(), rows.append)
    assert 0 < 60 * result.minutes < time.monotonic() - began, "no run's minutes are counted twice"
    minutes = [row["minutes"] for row in rows]
    assert minutes == sorted(minutes)
    assert minutes[-1] > 0.014  # three of the four parts
    assert sum("noc" in row for row in rows) >= 6
    assert len(result.curve) == 6


def test_the_base_is_what_it_was_bit_for_bit(adapted: Any) -> None:
    model, frozen, _, _ = adapted
    with disabled(model):
        assert weights_digest(model.module) == frozen


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
    learn, val = validation_split(train)
    ids = [s.id for s in (*learn, *val, *test)]
    assert sorted(ids) == sorted(s.id for s in samples)
    assert len(test) == 2
    assert [s.id for s in split(samples, config(disks, tmp_path, seed=1))[1]] != [s.id for s in test]


def test_an_image_that_does_not_read_is_left_out_and_named(disks: Path, tmp_path: Path) -> None:
    data = shutil.copytree(disks, tmp_path / "data")
    broken = sorted((data / "images").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:60])
    result = adapt(config(data, tmp_path / "out", steps=1), model=small())
    assert [failure.item for failure in result.failed] == [broken.stem]
    assert result.images.to_json() == {"train": 5, "validation": 5, "held_out": 2}
    with pytest.raises(ImageError, match=broken.name):
        adapt(config(data, tmp_path / "strict", strict=True), model=small())


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images to learn from, one to validate by, one to test on."""
    folder = tmp_path_factory.mktemp("published")
    source = write_disks(folder / "source", 5)
    groups = ("train", "train", "train", "val", "test")
    samples = [replace(s, group=g) for s, g in zip(open_data(source).samples, groups, strict=True)]
    ImageTextMask().write(folder / "split", samples)
    return folder / "split"


def test_published_splits_are_kept(published: Path, tmp_path: Path) -> None:
    train, test = split(list(open_data(published).samples), config(published, tmp_path))
    learn, val = validation_split(train)
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


def test_masks_without_their_photos_say_how_to_put_both_together(disks: Path, tmp_path: Path) -> None:
    """As ``segue annotate --export coco`` leaves them."""
    convert_data(source=disks, to="coco", output=tmp_path / "masks", images="none")
    with pytest.raises(ImageError, match=r"no image file for .*convert-data DATA --photos PHOTOS --to coco -o NEW"):
        adapt(config(tmp_path / "masks", tmp_path / "out"), small())
    photos = disks / "images"
    convert_data(source=tmp_path / "masks", photos=photos, to="coco", output=tmp_path / "both")
    samples = read_samples(config(tmp_path / "both", tmp_path))
    assert [s.read()[0].shape for s in samples] == [s.read()[0].shape for s in open_data(disks).samples]


def test_without_boundaries_the_report_leaves_them_out(disks: Path, tmp_path: Path) -> None:
    result = adapt(config(disks, tmp_path, minutes=0.005, boundary=False), small())
    page = (tmp_path / "report.md").read_text()
    assert "NoC85" in page
    assert "oundary" not in page
    assert "bnoc85" not in result.after
    assert result.mbiou_random is None


def test_the_published_schedule_ends_by_epochs_and_reports_as_the_paper(disks: Path, tmp_path: Path) -> None:
    model = build("simpleclick-xtiny", MODELS["simpleclick-xtiny"].tiny)
    chosen = {"data": disks, "output": tmp_path / "out", "holdout": 0.25, "max_clicks": 3, "cache_dir": tmp_path}
    result = adapt(AdaptConfig.from_fields(**chosen, schedule="published", epochs=2), model)
    assert result.steps == 2, "five photos are less than a step of eight: an epoch is a step"
    assert "epochs" in result.ended
    assert {"bnoc85", "bnoc90", "mbiou1", "mbiou5", "mbiou10", "failed85"} <= set(result.after)
    page = (tmp_path / "out" / "report.md").read_text()
    assert all(name in page for name in ("bNoC90", "mbIoU@10", "RoF85"))
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["settings"]
    assert settings["identity"] is False, "gamma moves at the first step"


def test_an_interrupted_run_goes_on_where_it_stopped(disks: Path, tmp_path: Path) -> None:
    def stop(row: Any) -> None:
        if row["step"] > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"holds the run: --resume goes on"):
        adapt(config(disks, tmp_path, minutes=0.04, clock="cpu"), small(), stop)  # however busy the machine
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-fold-0.pt", "folds.jsonl"}
    with pytest.raises(ConfigError, match="--resume goes on with it, --force replaces it"):
        adapt(config(disks, tmp_path, minutes=0.04, clock="cpu"), small())
    result = adapt(config(disks, tmp_path, minutes=0.04, clock="cpu", resume=True), small())
    assert result.curve[0]["minutes"] == 0
    assert result.processor_minutes >= 3 * 0.04 / 4
    assert not [p.name for p in tmp_path.iterdir() if "checkpoint" in p.name or "folds" in p.name]


def test_a_finished_adapter_is_not_overwritten_unasked(adapted: Any, disks: Path) -> None:
    output = adapted[2]
    before = (output / "adapter_model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"holds adapter_config.json of an earlier run.*--force"):
        adapt(config(disks, output), small())
    assert (output / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize("kind", ["lora", "head", "full"])
def test_the_baselines_run_in_the_same_harness(kind: str, published: Path, tmp_path: Path) -> None:
    result = adapt(config(published, tmp_path, steps=1, minutes=10.0, adapter=kind), small())
    assert result.adapter == kind
    assert result.steps == 1
    assert result.ended == "1 steps are over"
    assert not result.cross_validated  # the publisher says what validates


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
    result = TextAdaptResult.from_json(json.loads((tmp_path / "out.json").read_text()))
    assert [r.seed for r in result.runs] == [0, 1, 2]
    assert all(len(r.curve) == 2 for r in result.runs)
    assert {"mean", "spread"} == set(result.after["dice"])
    assert "| DSC (%) |" in (output / "report.md").read_text()
    again = load(model, adapter=output, device="cpu")
    assert attached(again)[0].settings == {"variant": "vl", "width": 64}
    assert attached(again)[0].trainable == result.parameters
    assert main([*saying, "--device", "cpu"]) == 0
    assert read_labels(tmp_path / "mask.png").shape == (96, 128)


def test_a_text_model_needs_no_clicks(disks: Path, tmp_path: Path) -> None:
    model = small("clipseg-rd64")
    result = adapt(config(disks, tmp_path, adapter="shallow", name="disk", epochs=1, settings={"width": 8}), model)
    image = open_data(disks).samples[0].read()[0]
    assert Session(model, image).add(Text("disk")).shape == image.shape[:2]
    assert result.parameters == attached(model)[0].trainable


def test_an_interrupted_command_goes_on_seed_by_seed(tmp_path: Path) -> None:
    for i in range(6):
        mask = np.zeros((40, 40), bool)
        mask[5 : 20 + i, 10:30] = True
        write_image(tmp_path / "data" / "images" / f"{i}.png", np.full((40, 40, 3), 40 * i, np.uint8))
        write_labels(tmp_path / "data" / "masks" / f"{i}.png", mask)
    values = {
        "data": tmp_path / "data",
        "output": tmp_path / "out",
        "model": "clipseg-rd64",
        "adapter": "dense",
        "name": "disk",
        "seeds": 2,
        "epochs": 2,
        "settings": {"width": 8},
        "holdout": 0.34,
    }
    with pytest.raises(MissingFile, match="--resume"):
        adapt(AdaptConfig.from_fields(**values, resume=True), small("clipseg-rd64"))
    rows = 0

    def stop(row: Mapping[str, float]) -> None:
        nonlocal rows
        rows += 1
        if rows == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(AdaptConfig.from_fields(**values), small("clipseg-rd64"), stop)
    shown: list[Mapping[str, float]] = []
    result = adapt(AdaptConfig.from_fields(**values, resume=True), small("clipseg-rd64"), shown.append)
    assert shown == []  # the last epoch was finished, and is not done again
    assert [run.epochs for run in result.runs] == [2, 2]
    assert list((tmp_path / "out").glob("checkpoint*")) == []
