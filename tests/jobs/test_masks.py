"""segue mask on many images: the same masks as one by one, prompts from tables, data sets of other tools."""

from __future__ import annotations

import json

import numpy as np
import pytest

import segue
from segue.cli import main
from segue.core.errors import ConfigError, DataError
from segue.core.types import Box, Click
from segue.data.formats.registry import open_data
from segue.data.io.image import read_labels, write_image
from segue.jobs.prompts import read_prompts
from tests.jobs.scenes import toy


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks")
    for name, at in (("a", (60, 80)), ("b", (100, 80))):
        write_image(root / "photos" / f"{name}.png", toy(at=at)[0])
    (root / "prompts.csv").write_text(
        "image, object, x, y, positive, x0, y0, x1, y1\n"
        "photos/a.png, toy, 80, 60, 1,,,,\n"
        "photos/a.png, toy, 300, 220, 0,,,,\n"
        "photos/a.png, corner,,,, 250, 180, 319, 239\n"
        "photos/b.png, toy, 80, 100,,,,,\n"
    )
    return root


def test_the_masks_of_a_folder_are_those_of_its_images(photos, tmp_path):
    assert main(["mask", str(photos / "photos"), "--click", "80,80", "-o", str(tmp_path / "all")]) == 0
    for name in "ab":
        photo, alone = photos / "photos" / f"{name}.png", tmp_path / f"{name}.png"
        assert main(["mask", str(photo), "--click", "80,80", "-o", str(alone)]) == 0
        assert np.array_equal(read_labels(tmp_path / "all" / "masks" / f"{name}.png"), read_labels(alone))


def test_a_table_names_objects_and_every_one_has_a_line(photos, tmp_path):
    result = segue.masks(prompts_file=photos / "prompts.csv", output=tmp_path, to="coco")
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines == [row.to_json() for row in result.objects]
    assert [(row.object, row.label) for row in result.objects] == [("toy", 1), ("corner", 2), ("toy", 1)]
    labels = read_labels(tmp_path / "masks" / "a.png")
    assert labels[60, 80] == 1
    assert set(np.unique(labels)) <= {0, 1, 2}
    first, _, last = result.objects
    x0, y0, x1, y1 = first.box
    assert x0 <= 80 < x1
    assert y0 <= 60 < y1
    written = {sample.id.split("#")[0]: sample.load() for sample in open_data(tmp_path / "coco").samples}
    assert sorted(written) == ["a.png", "b.png"]
    assert [(a.name, a.area) for a in written["b.png"].annotations] == [("toy", last.area)]


@pytest.mark.parametrize("to", ["yolo", "labelme"])
def test_other_tools_read_what_was_made(photos, tmp_path, to):
    segue.masks(image=[str(photos / "photos" / "*.png")], click=[(80, 80)], output=tmp_path, to=to)
    assert sum(len(sample.load().annotations) for sample in open_data(tmp_path / to).samples) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '[{"image": "a.png", "click": [[3, 4], [5, 6]], "background_click": [9, 9], "box": [0, 1, 7, 8]}]'),
        (
            "p.jsonl",
            '{"image": "a.png", "click": [[3, 4], [5, 6]], "background_click": [9, 9], "box": [0, 1, 7, 8]}\n\n',
        ),
        ("p.csv", "image,x,y,positive,x0,y0,x1,y1\na.png,3,4\na.png,5,6,yes\na.png,9,9,0\na.png,,,,0,1,7,8\n"),
    ],
)
def test_three_kinds_of_table_say_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    (objects,) = read_prompts(tmp_path / name).values()
    assert objects == {"": [Box(0, 1, 7, 8), Click(3, 4), Click(5, 6), Click(9, 9, positive=False)]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", "file,x,y\na.png,3,4\n", "column 'file'"),
        ("p.csv", "image,x,y\na.png,three,4\n", "line 2.*three"),
        ("p.jsonl", '{"image": "a.png", "click": [[1, 2]]}\n{"image"', "line 2, which is no JSON"),
        ("p.json", '[{"image": "a.png", "clik": [[1, 2]]}]', "row 1.*Did you mean 'click'"),
        ("p.json", "[]", "without a row"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_row(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_prompts(tmp_path / name)


def test_a_bad_image_is_named_and_the_others_are_done(photos, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((photos / "photos" / "a.png").read_bytes())
    (tmp_path / "in" / "bad.png").write_text("no picture")
    arguments = ["mask", str(tmp_path / "in"), "--click", "80,60", "-o", str(tmp_path / "out"), "--json", "-"]
    assert main(arguments) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 1
    assert "bad.png" in result["failed"][0]["item"]
    assert main(arguments) == 1, "what an earlier run left is not overwritten"
    assert "--force" in capsys.readouterr().err


def test_what_belongs_to_one_image_is_refused_for_several(photos, tmp_path, capsys):
    arguments = ["mask", str(photos / "photos"), "--click", "80,60", "-o", str(tmp_path), "--cutout", "a.png"]
    assert main(arguments) == 1
    assert "--cutout" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="beside a file of prompts"):
        segue.masks(prompts_file=photos / "prompts.csv", click=[(1, 1)], output=tmp_path)
