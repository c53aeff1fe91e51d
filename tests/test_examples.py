"""The examples that the documents quote run as they stand."""

from pathlib import Path

import pytest

from segue.data.io.image import read_image, read_labels
from tests.examples import example_module


def test_the_quickstart_finds_the_cat(tmp_path: Path) -> None:
    quickstart = example_module("quickstart")
    assert 0 < quickstart.main(tmp_path / "mask.png") <= 1
    assert read_labels(tmp_path / "mask.png")[130, 230] == 255


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
