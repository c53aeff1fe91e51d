"""segue propose: files for people and tools, figures where the objects are known, and what goes wrong."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.core.errors import ConfigError
from segue.data.formats.registry import open_data
from segue.data.io.image import read_labels, write_image, write_labels
from segue.data.rle import Rle
from segue.jobs.propose import propose
from tests.jobs.scenes import toy

FAST = {"points_per_side": 8, "crop_layers": 0, "second_looks": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("propose")
    for name, at in (("a", (120, 160)), ("b", (90, 200))):
        image, mask = toy(at=at, scale=1.6)
        write_image(root / "data" / "images" / f"{name}.png", image)
        write_labels(root / "data" / "masks" / f"{name}.png", mask)
    (root / "data" / "images" / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def done(folder):
    out = folder / "out"
    images = [str(folder / "data" / "images")]
    return propose(images=images, output=out, to="coco", contact_sheet=out / "sheet.jpg", **FAST)


def test_a_bad_image_is_named_and_the_others_are_done(folder, done):
    assert [row.image.rsplit("/", 1)[1] for row in done.images] == ["a.png", "b.png"]
    assert [failure.item.rsplit("/", 1)[1] for failure in done.failed] == ["broken.png"]
    assert json.loads((folder / "out" / "results.json").read_text()) == done.to_json()
    assert (folder / "out" / "sheet.jpg").stat().st_size > 1000


def test_records_labels_and_the_data_set_say_the_same(folder, done):
    records = json.loads((folder / "out" / "proposals" / "a.json").read_text())
    assert len(records) == done.images[0].proposals > 0
    rles = [Rle.from_coco(record["segmentation"]) for record in records]
    labels = read_labels(folder / "out" / "masks" / "a.png")
    for number, (rle, record) in enumerate(zip(rles, records, strict=True), start=1):
        assert record["area"] == rle.area
        assert not (labels == number)[~rle.mask()].any()
        assert record["inside"] is None or rles[record["inside"]].area > rle.area
    written = next(a for a in open_data(folder / "out" / "coco").read() if a.stem.endswith("a"))
    assert [a.rle for a in written.annotations] == rles


def test_against_a_data_set_recall_grows_with_k(folder, tmp_path):
    (folder / "data" / "images" / "broken.png").rename(tmp_path / "kept")
    result = propose(target=folder / "data", output=tmp_path / "out", **FAST)
    (tmp_path / "kept").rename(folder / "data" / "images" / "broken.png")
    assert result.objects == 2
    assert result.ar["1"] <= result.ar["10"] <= result.ar["1000"]
    assert result.best_iou > 0.6
    assert np.mean([row.best_iou for row in result.images]) == pytest.approx(result.best_iou, abs=1e-4)


def test_a_run_goes_on_with_what_is_there_and_refuses_other_settings(folder, done, tmp_path):
    images, out = [str(folder / "data" / "images" / "a.png")], tmp_path / "out"
    first = propose(images=images, output=out, **FAST)
    file = out / "proposals" / "a.json"
    file.write_text(json.dumps(json.loads(file.read_text())[:1]))
    again = propose(images=images, output=out, resume=True, **FAST)
    assert (first.images[0].proposals > 1, again.images[0].proposals) == (True, 1)
    with pytest.raises(ConfigError, match="--resume"):
        propose(images=images, output=out, **FAST)
    with pytest.raises(ConfigError, match="other settings"):
        propose(images=images, output=out, resume=True, **FAST | {"points_per_side": 9})


def test_mistakes_are_one_line(folder, tmp_path, capsys):
    assert main(["propose", "-o", str(tmp_path / "out")]) == 1
    assert "--target" in capsys.readouterr().err
    assert main(["propose", str(folder / "data" / "images" / "broken.png"), "-o", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
