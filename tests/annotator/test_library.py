"""The opened folder: what is found, how it is shown."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from fastapi.testclient import TestClient

from segue.annotator.app import build
from segue.annotator.budget import MemoryBudget
from segue.annotator.config import AnnotateConfig
from segue.annotator.library import Library
from segue.core.errors import ImageError, MissingFile
from tests.annotator.fake_model import ColourModel, photo


@pytest.fixture
def library(folder: Path) -> Library:
    return Library(folder, folder / ".segue", 10_000_000, MemoryBudget(10**9))


def test_images_are_found_in_natural_order_and_hidden_folders_are_left_out(library: Library) -> None:
    for name in ("img10.jpg", "img2.jpg", ".hidden/x.jpg", ".dot.jpg"):
        photo(library.folder / name)
    (library.folder / "notes.txt").write_text("no image")
    assert library.scan() == ["a.png", "b.jpg", "deep/c.png", "img2.jpg", "img10.jpg"]


def test_a_turned_photo_is_measured_and_shown_upright(library: Library) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (80, 40)).save(library.folder / "turned.jpg", exif=exif)
    PIL.Image.new("RGB", (80, 40)).save(library.folder / "turned.png", exif=exif)
    assert library.size("turned.jpg") == library.size("turned.png") == (80, 40)
    assert library.pixels("turned.jpg").shape == (80, 40, 3)
    assert isinstance(library.photo("turned.jpg")[0], Path), "browsers turn JPEG themselves"
    content, kind = library.photo("turned.png")
    assert isinstance(content, bytes)
    assert (PIL.Image.open(io.BytesIO(content)).size, kind) == ((40, 80), "image/jpeg")


def test_what_browsers_cannot_show_is_converted(library: Library) -> None:
    deep = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    PIL.Image.fromarray(deep).save(library.folder / "deep.tif")
    content, kind = library.photo("deep.tif")
    assert isinstance(content, bytes)
    shown = np.asarray(PIL.Image.open(io.BytesIO(content)).convert("L"))
    assert (shown.min() < 10, shown.max() > 245, kind) == (True, True, "image/jpeg")


def test_a_deep_image_says_how_it_is_shown(library: Library) -> None:
    PIL.Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(library.folder / "deep.png")
    PIL.Image.fromarray(np.zeros((64, 64), np.uint8)).save(library.folder / "plain.png")
    assert library.shown("deep.png") == "More than 8 bits: shown from percentile 0.5 (black) to 99.5 (white)"
    assert library.shown("plain.png") == ""
    (library.folder / "deep.png").unlink()
    assert library.shown("deep.png") == ""


def test_thumbnails_are_small_kept_and_drawn_again_when_the_photo_changes(library: Library) -> None:
    photo(library.folder / "large.jpg", size=(900, 1200))
    first = library.thumbnail("large.jpg")
    assert max(PIL.Image.open(io.BytesIO(first)).size) == 240
    assert len(list((library.home / "thumbnails").iterdir())) == 1
    photo(library.folder / "large.jpg", size=(1200, 900))
    assert PIL.Image.open(io.BytesIO(library.thumbnail("large.jpg"))).size == (180, 240)


def test_a_damaged_image_and_a_missing_folder_are_named(library: Library, tmp_path: Path) -> None:
    (library.folder / "text.png").write_text("not a picture")
    whole = (library.folder / "b.jpg").read_bytes()
    (library.folder / "cut.jpg").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ImageError, match=r"text\.png"):
        library.size("text.png")
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        library.pixels("cut.jpg")
    with pytest.raises(MissingFile, match="folder of images"):
        Library(tmp_path / "nowhere", tmp_path, 1, MemoryBudget(1))
    with pytest.raises(MissingFile):
        library.locate("../outside.png")


def test_names_that_are_no_unicode_are_opened_and_shown(library: Library, client: TestClient) -> None:
    raw = os.fsencode(library.folder)
    for name in (b"caf\xe9.png", b"caf\xe8.png"):
        shutil.copy(library.folder / "a.png", os.fsdecode(raw + b"/" + name))
    paths = [path for path in library.scan() if path.startswith("caf")]
    assert len(set(paths)) == 2
    assert all(library.pixels(path).shape == (120, 160, 3) for path in paths)
    with TestClient(
        build(AnnotateConfig(folder=library.folder), load=ColourModel), base_url="http://localhost"
    ) as again:
        lines = again.get("/api/images?search=caf").json()["images"]
        assert [again.get(f"/api/images/{line['id']}/photo").status_code for line in lines] == [200, 200]


def test_deep_colours_say_how_they_are_shown(library: Library) -> None:
    tifffile.imwrite(library.folder / "deep.tif", np.zeros((8, 8, 3), np.uint16), photometric="rgb")
    assert "More than 8 bits" in library.shown("deep.tif")
