import json
import tracemalloc

import numpy as np
import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.core.errors import ConfigError, DataError, MissingFile
from segue.data.io.image import write_image, write_labels
from segue.jobs.convert_data import ConvertDataConfig, convert_data


@pytest.fixture
def folder(tmp_path):
    """Two photos: a ring with a hole and a far part, and a block."""
    for stem in ("one", "two"):
        write_image(tmp_path / "in" / "images" / f"{stem}.png", np.zeros((30, 40, 3), np.uint8))
        labels = np.zeros((30, 40), np.uint8)
        labels[2:20, 2:20], labels[8:12, 8:12], labels[25:28, 30:35] = 1, 0, 1
        labels[2:9, 30:38] = 2
        write_labels(tmp_path / "in" / "masks" / f"{stem}.png", labels)
    return tmp_path


def test_a_chain_through_every_format_ends_where_it_began(folder):
    source, names = folder / "in", ["coco", "yolo", "labelme", "cvat", "label-studio", "numpy", "voc", "folder"]
    for name in names:
        done = convert_data(ConvertDataConfig(source=source, to=name, output=folder / name))
        assert (done.images, done.objects, done.exact) == (2, 4, 4)
        source = folder / name
    before, after = folder / "in" / "masks", folder / "folder" / "masks"
    stems = sorted(p.name for p in before.iterdir())
    from segue.data.io.image import read_labels

    assert len(list(after.iterdir())) == len(stems)
    for a, b in zip(sorted(before.iterdir()), sorted(after.iterdir()), strict=True):
        assert (read_labels(a) == read_labels(b)).all()


def test_a_dry_run_reports_the_same_and_writes_nothing(folder):
    config = {"source": folder / "in", "to": "yolo", "tolerance": 1.5, "output": folder / "out"}
    dry = convert_data(ConvertDataConfig(**config, dry_run=True))
    assert not (folder / "out").exists()
    real = convert_data(ConvertDataConfig(**config))
    assert dry.losses == real.losses
    assert real.losses["holes joined by slits"].count == 2
    assert real.losses["parts joined by bridges"].count == 2


def test_data_sets_of_evaluation_convert_too(folder):
    from segue.data.formats.registry import format_named, open_data

    format_named("berkeley").write(folder / "berkeley", open_data(folder / "in", "folder").samples)
    done = convert_data(
        ConvertDataConfig(source=folder / "berkeley", to="coco", output=folder / "out", format="berkeley")
    )
    assert (done.from_, done.objects, done.exact) == ("berkeley", 4, 4)


def test_missing_images_are_counted_and_links_are_links(folder):
    convert_data(ConvertDataConfig(source=folder / "in", to="coco", output=folder / "coco", images="none"))
    done = convert_data(ConvertDataConfig(source=folder / "coco", to="cvat", output=folder / "cvat"))
    assert done.losses["image file not found: annotations only"].count == 2
    assert done.exact == 4
    convert_data(ConvertDataConfig(source=folder / "in", to="coco", output=folder / "linked", images="link"))
    assert (folder / "linked/images/one.png").samefile(folder / "in/images/one.png")


def test_mistakes_are_said_at_once(folder):
    with pytest.raises(MissingFile):
        convert_data(ConvertDataConfig(source=folder / "none", to="coco", output=folder / "out"))
    with pytest.raises(DataError, match="not empty"):
        convert_data(ConvertDataConfig(source=folder / "in", to="coco", output=folder / "in"))
    for wrong in (
        {"to": "coco"},
        {"to": "coco", "output": "x", "tolerance": 1},
        {"to": "voc", "output": "x", "images": "move"},
    ):
        with pytest.raises(ConfigError):
            ConvertDataConfig.from_fields(source=folder / "in", **wrong)


def test_the_command_writes_json(folder):
    arguments = ["convert-data", str(folder / "in"), "--to", "cvat", "--polygons", "--dry-run", "--json", "-"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["objects"] == 4


@pytest.mark.parametrize("to", ["coco", "label-studio"])
def test_memory_grows_by_a_few_hundred_bytes_an_image(tmp_path, to):
    """So that 100,000 images take some tens of megabytes, whatever their masks."""
    row = {"category_id": 1, "segmentation": {"size": [8, 8], "counts": [9, 6, 9, 6, 34]}, "iscrowd": 0}
    peaks = []
    for count in (100, 300, 1500):  # the first loads modules
        content = {
            "images": [{"id": k, "file_name": f"{k}.jpg", "width": 8, "height": 8} for k in range(count)],
            "annotations": [row | {"id": k, "image_id": k} for k in range(count)],
            "categories": [{"id": 1, "name": "thing"}],
        }
        source = tmp_path / f"{count}"
        (source / "annotations").mkdir(parents=True)
        (source / "annotations" / "instances.json").write_text(json.dumps(content))
        del content
        tracemalloc.start()
        done = convert_data(ConvertDataConfig(source=source, to=to, output=tmp_path / f"{count}-out", images="none"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert done.exact == count
    assert (peaks[2] - peaks[1]) / 1200 < 1000


def _listed(folder, *names):
    images = [{"id": k, "file_name": name, "width": 40, "height": 30} for k, name in enumerate(names, start=1)]
    rows = [
        {"id": k, "image_id": k, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]}
        for k in range(1, len(names) + 1)
    ]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    folder.mkdir(exist_ok=True)
    (folder / "all.json").write_text(json.dumps(content))


def test_photos_that_are_not_there_or_stay_where_they_are_keep_their_names(tmp_path):
    _listed(tmp_path / "in", "a.jpg")
    convert_data(source=tmp_path / "in", to="coco", output=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "annotations" / "instances.json").read_text())
    assert written["images"][0]["file_name"] == "a.jpg"


def test_two_entries_of_one_photo_are_named(tmp_path):
    write_image(tmp_path / "in" / "a.png", np.zeros((30, 40, 3), np.uint8))
    _listed(tmp_path / "in", "a.png", "a.png")
    done = convert_data(source=tmp_path / "in", to="yolo", output=tmp_path / "out")
    assert done.losses["photo that an earlier entry has: kept as an image of its own"].count == 1
