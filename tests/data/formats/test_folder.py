import json

import numpy as np
import PIL.Image
import pytest

from segue.core.errors import DataError
from segue.data.formats.folder import void_in_readme
from segue.data.formats.registry import open_data
from segue.data.record import Options


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    PIL.Image.new("RGB", (5, 1)).save(tmp_path / "images" / "scene.jpg")
    PIL.Image.fromarray(np.array([[0, 1, 2, 2, 255]], np.uint8)).save(tmp_path / "masks" / "scene.png")
    return tmp_path


def objects(folder, options=None):
    _, target = open_data(folder, options=options).samples[0].read()
    return {i.id: i.area for i in target.annotations}, None if target.ignore_mask is None else int(
        target.ignore_mask.sum()
    )


def test_each_label_is_an_object_and_255_one_more_unless_said_otherwise(folder):
    assert objects(folder) == ({"scene#1": 1, "scene#2": 2, "scene#255": 1}, None)
    assert objects(folder, Options(ignore_values=(255,))) == ({"scene#1": 1, "scene#2": 2}, 1)
    (folder / "README.txt").write_text("0 = background, 255 = void")
    assert objects(folder) == ({"scene#1": 1, "scene#2": 2}, 1)
    assert objects(folder, Options(ignore_values=()))[1] is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("255=crowd/ignore when present", (255,)),
        ("void pixels are 128", (128,)),
        ("128 void, 255 object", (128,)),
        ("objects are 255", ()),
        ("ignore: 255", (255,)),
        ("we avoid 255 colours", ()),
        ("the 255 pixels nobody should ignore", ()),
    ],
)
def test_only_a_plain_statement_in_the_readme_makes_void(tmp_path, text, values):
    (tmp_path / "README.md").write_text(text)
    assert void_in_readme(tmp_path) == values


def test_class_names_come_along(folder):
    (folder / "classes.json").write_text(json.dumps({"scene": {"2": "cup"}}))
    _, target = open_data(folder).samples[0].read()
    assert [i.name for i in target.annotations] == ["", "cup", ""]
    (folder / "classes.json").write_text(json.dumps({"scene": ["hand", "cup"]}))
    _, target = open_data(folder).samples[0].read()
    assert [i.name for i in target.annotations] == ["hand", "cup", ""]
    (folder / "classes.json").write_text("[1]")
    with pytest.raises(DataError, match=r"classes\.json"):
        open_data(folder)


def test_the_training_folders_read_as_their_readmes_say(shared):
    crowds = open_data(shared / "data" / "train" / "coco_instances")
    assert crowds.format == "folder"
    assert len(crowds.samples) == 605
    for name in ("coco_person", "wild_animals"):
        assert void_in_readme(shared / "data" / "train" / name) == ()
    polyps = open_data(shared / "data" / "medical" / "kvasir_seg").samples
    assert len(polyps[0].read()[1].annotations) == 1


@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 30, 30), (0, 0, 0)])
def test_a_mask_cut_out_of_transparency_is_one_object(folder, colour):
    rgba = np.zeros((1, 5, 4), np.uint8)
    rgba[0, 2:4] = (*colour, 255)
    PIL.Image.fromarray(rgba).save(folder / "masks" / "scene.png")
    assert list(objects(folder)[0].values()) == [2]
