"""The examples that the documents quote run as they stand."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segue.data.formats.registry import open_data
from segue.data.io.image import read_image, read_labels
from segue.models.nano.mobilenet import MobileNetV2
from segue.models.nano.pretrained_backbone import start_backbone
from segue.models.pretrained import save_pretrained
from segue.models.registry import MODELS
from segue.session.load import build
from segue.training.config import TrainConfig
from tests.examples import EXAMPLES, example_module


def test_the_quickstart_finds_the_cat(tmp_path: Path) -> None:
    quickstart = example_module("quickstart")
    assert 0 < quickstart.main(tmp_path / "mask.png") <= 1
    assert read_labels(tmp_path / "mask.png")[130, 230] == 255


def test_the_readmes_picture_shows_every_sample(tmp_path: Path) -> None:
    picture = example_module("readme_picture")
    assert set(picture.main(tmp_path / "seen.jpg")) == {p.stem for p in picture.SAMPLES.glob("*.jpg")}
    assert read_image(tmp_path / "seen.jpg").shape[1] > 1000


def test_the_adapter_table_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run dies once; started again, the first is not repeated and the table has a row for each."""
    table, ran = example_module("adapter_table"), []

    def adapt(command: list[str], **_: Any) -> None:
        folder = Path(command[command.index("-o") + 1])
        ran.append(folder.name)
        if len(ran) == 2:
            raise KeyboardInterrupt
        clicks = {"miou1": 0.5, "noc85": 4.0, "noc90": 6.0}
        report = {
            "adapter": command[command.index("--adapter") + 1],
            "parameters": 1234,
            "before": clicks,
            "after": clicks | {"noc85": 2.0},
            "clicks_saved_interval": [1.5, 2.5],
            "processor_minutes": 5.0,
            "peak_memory_mb": 900,
        }
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(table.subprocess, "run", adapt)
    line = ["--data", "medical", "--out", str(tmp_path), "--sets", "kvasir_seg", "--images", "20", "--minutes", "2"]
    with pytest.raises(KeyboardInterrupt):
        table.main(line)
    table.main(line)
    kinds = ("detail", "lora", "lora", "head", "full")
    assert ran == [f"kvasir_seg-20-{kind}" for kind in kinds]
    said = capsys.readouterr().out
    assert "| kvasir_seg | 0 | none | | 4.00 |" in said
    assert said.count("-50 %, saves 1.50 to 2.50") == 4


def test_the_starts_are_trained_alike_and_never_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run dies once; started again, the first is not repeated. Their configurations are valid and differ
    in the start, what is frozen and the backbone with its rate only."""
    compare, ran = example_module("compare_starts"), []

    def training(command: list[str], **_: Any) -> None:
        config = TrainConfig.read(Path(command[4]))
        ran.append(config)
        if len(ran) == 2:
            config.output.mkdir()
            (config.output / "checkpoint.pt").touch()
            raise KeyboardInterrupt
        assert ("--resume" in command) == (len(ran) == 3)
        save_pretrained(build("nano", MODELS["nano"].tiny), config.output / "model")

    image, target = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), bool)
    image[8:40, 16:48], target[8:40, 16:48] = 220, True
    costs = {"parameters": 1, "encode": {"gflops": 1.0, "processor_p50": 0.01}}
    monkeypatch.setattr(compare, "bench", lambda config: {"rows": [costs] * len(config.models)})
    monkeypatch.setattr(compare, "subprocess", SimpleNamespace(run=training))
    monkeypatch.setattr(compare, "held_out", lambda _: iter([(image, target, np.zeros_like(target))] * 3))
    line = ["--shared", "shared", "--out", str(tmp_path), "--mae", "backbone.safetensors"]
    with pytest.raises(KeyboardInterrupt):
        compare.main(line)
    compare.main(line)
    names = list(compare.STARTS)
    assert [config.output.name for config in ran] == [f"start-{name}" for name in [*names[:2], *names[1:]]]
    own = {"start", "frozen", "output", "config", "optimiser"}
    assert len({config.model_dump_json(exclude=own) for config in ran}) == 1
    assert len({config.optimiser.model_dump_json(exclude={"backbone_rate"}) for config in ran}) == 1
    assert len((tmp_path / "starts.md").read_text().splitlines()) == 2 + 2 * len(compare.STARTS)
    assert json.loads((tmp_path / "starts.json").read_text())["mae"]["objects"] == 2
    assert "COCO boxes" in capsys.readouterr().out


def test_held_out_photos_become_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "blocks" / folder).mkdir(parents=True)
    labels = np.zeros((60, 80), np.uint8)
    for label, (x, width) in {7: (2, 12), 8: (20, 30), 9: (60, 2), 255: (70, 5)}.items():
        labels[5:50, x : x + width] = label
    cv2.imwrite(str(tmp_path / "blocks" / "images" / "a.png"), np.repeat(labels[:, :, None], 3, 2))
    cv2.imwrite(str(tmp_path / "blocks" / "masks" / "a.png"), labels)
    data = {"root": str(tmp_path), "folders": {"blocks": 1}, "cache": str(tmp_path), "held_out": 1.0}
    (tmp_path / "tiny.yaml").write_text(json.dumps({"steps": 1, "output": "none", "data": data}))
    line = [str(tmp_path / "tiny.yaml"), "-o", str(tmp_path / "split")]
    example_module("validation_split").main(line)
    assert "3 objects in 1 photos" in capsys.readouterr().out
    ((_, target),) = [s.read() for s in open_data(tmp_path / "split").samples]
    assert [i.area for i in target.instances] == [30 * 45, 12 * 45, 2 * 45]
    assert target.ignore_mask is not None
    assert target.ignore_mask.sum() == 5 * 45
    example_module("nano_overlays").main([line[0], "-o", str(tmp_path / "seen.jpg"), "--objects", "2"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert read_image(tmp_path / "seen.jpg").shape[2] == 3


def test_masked_photos_pretrain_a_backbone_that_a_training_starts_from(tmp_path: Path) -> None:
    rng, mae = np.random.default_rng(0), example_module("pretrain_mae")
    for folder in ("blocks/images", "blocks/masks", "unlabelled_photos"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(3):
        image = rng.integers(0, 255, (96, 128, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"blocks/images/{number}.png"), image)
        cv2.imwrite(str(tmp_path / f"blocks/masks/{number}.png"), np.zeros((96, 128), np.uint8))
        cv2.imwrite(str(tmp_path / f"unlabelled_photos/{number}.jpg"), image)
    config = {
        "steps": 1,
        "output": "none",
        "data": {"root": str(tmp_path), "folders": {"blocks": 1}, "cache": str(tmp_path), "held_out": 0},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(config))
    line = ["--config", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "mae"), "--batch", "2", "--size", "64"]
    mae.main([*line, "--minutes", "0.002"])
    kept = torch.load(tmp_path / "mae" / "checkpoint.pt", weights_only=True)
    mae.main([*line, "--minutes", "0.004"])
    assert torch.load(tmp_path / "mae" / "checkpoint.pt", weights_only=True)["done"] > kept["done"] > 0
    backbone = MobileNetV2()
    start_backbone(backbone, tmp_path / "mae" / "backbone.safetensors")
    assert all(bool(p.isfinite().all()) for p in backbone.parameters())


def test_the_documented_table_of_what_survives_an_exchange_is_the_measured_one() -> None:
    docs = (EXAMPLES.parent / "docs" / "exchange.md").read_text()
    assert example_module("exchange_tables").survival() in docs


def test_the_rates_of_an_exchange_have_a_row_for_every_format(tmp_path: Path) -> None:
    from segue.data.exchange.rows import EXCHANGE

    rows = [line.split(" | ") for line in example_module("exchange_tables").rates(2, tmp_path).splitlines()[2:]]
    assert [row[0].strip("| `") for row in rows] == list(EXCHANGE)
    for row in rows:
        kept, _, every = row[2].partition(" of ")
        assert every == "10"
        assert kept == "10" or not EXCHANGE[row[0].strip("| `")].overlap


def test_clicks_in_a_tiff_that_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gigapixel = example_module("gigapixel")
    monkeypatch.setattr(gigapixel, "PLACES", dict.fromkeys(gigapixel.PLACES, (4000, 4000)) | {"cat": (100, 900)})
    monkeypatch.setattr(gigapixel, "CLICKS", {"cat": [gigapixel.segue.Click(325, 1080)]})
    gigapixel.make(tmp_path / "big.tif", side=2048)
    assert gigapixel.click(tmp_path / "big.tif", tmp_path) > 0
    labels = read_labels(tmp_path / "cat.tif")
    assert labels.shape == (2048, 2048)
    assert (labels[900:1200, 100:551] > 0).mean() > 0.4
    assert (labels > 0).sum() < 451 * 300
    assert read_image(tmp_path / "overview.jpg").shape == (512, 512, 3)


def test_averaged_weights_lie_between_those_given(tmp_path: Path) -> None:
    average = example_module("average_weights")
    for name, value in (("a", 1.0), ("b", 4.0)):
        (tmp_path / name).mkdir()
        save_file({"w": torch.full((2, 3), value)}, tmp_path / name / "model.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "c.safetensors")
    out, a, b = (str(tmp_path / name) for name in ("mean.safetensors", "a", "b"))
    average.main(["-o", out, "2", a, "1", b])
    assert torch.equal(load_file(out)["w"], torch.full((2, 3), 2.0, dtype=torch.float16))
    with pytest.raises(ValueError, match="different models"):
        average.main(["-o", out, "1", a, "1", str(tmp_path / "c.safetensors")])
