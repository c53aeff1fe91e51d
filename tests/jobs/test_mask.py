import numpy as np
import pytest
import tifffile

from segue.cli import main
from segue.core.errors import ConfigError, InputError
from segue.core.geometry import deepest_point
from segue.core.types import Click, Text
from segue.data.io.image import read_image, read_mask
from segue.jobs import mask as module
from segue.jobs.mask import MaskConfig, mask
from segue.session.load import load
from segue.session.session import Session
from tests.annotator.fake_model import photo
from tests.annotator.speaking import speaking_folder


def test_a_tiff_beyond_the_limit_is_segmented_in_a_window(tmp_path, monkeypatch):
    image = np.full((1500, 2000, 3), 40, np.uint8)
    image[700:800, 900:1050] = (220, 40, 40)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(256, 256))
    monkeypatch.setattr(module, "MAX_PIXELS", 1_000_000)
    config = {"image": tmp_path / "a.tif", "click": ((970, 750),)}
    done = mask(MaskConfig(**config, output=tmp_path / "m.tif", overlay=tmp_path / "o.png"))
    assert done.size == (1500, 2000)
    x0, y0, x1, y1 = done.window
    assert (x1 - x0, y1 - y0) == (1024, 1024)
    written = tifffile.imread(tmp_path / "m.tif")
    assert written.shape == (1500, 2000)
    assert int((written > 0).sum()) == done.area
    assert written[750, 970] == 255
    assert (tmp_path / "o.png").exists()
    with pytest.raises(ConfigError, match=r"\.tif"):
        mask(MaskConfig(**config, output=tmp_path / "m.png"))


def test_clicks_correct_the_mask_of_the_words(tmp_path):
    words, image = speaking_folder(tmp_path / "clipseg"), photo(tmp_path / "a.png")
    said = Session(load(words, device="cpu"), read_image(image)).add(Text("the blue thing"))
    x, y, _ = deepest_point(said)
    corrected = Session(load("nano", device="cpu"), read_image(image))
    corrected.set_mask(said)
    expected = corrected.add(Click(36, 40), Click(x, y, positive=False))
    given = [str(image), "--text", "the blue thing", "--model", str(words), "--device", "cpu"]
    clicks = ["--click", "36,40", "--background-click", f"{x},{y}", "--click-model", "nano"]
    assert main(["mask", *given, "-o", str(tmp_path / "words.png")]) == 0
    assert main(["mask", *given, *clicks, "-o", str(tmp_path / "both.png")]) == 0
    assert (read_mask(tmp_path / "words.png") == said).all()
    assert (read_mask(tmp_path / "both.png") == expected).all()
    assert (expected != said).any()


def test_words_for_a_model_without_words_name_one_that_reads(tmp_path):
    image = photo(tmp_path / "a.png")
    with pytest.raises(InputError, match="takes no words"):
        mask(image=image, text="a cat", click=[(110, 80)], output=tmp_path / "m.png")
