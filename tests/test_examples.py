"""The examples that the documents quote run as they stand."""

import json
from pathlib import Path
from typing import Any

import pytest

from segue.data.image import read_image, read_labels
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
            "adapter": command[command.index("--adapter") + 1], "parameters": 1234, "before": clicks,
            "after": clicks | {"noc85": 2.0}, "clicks_saved_interval": [1.5, 2.5], "processor_minutes": 5.0,
            "peak_memory_mb": 900,
        }  # fmt: skip
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
