import numpy as np
import PIL.Image

from segue.data.formats.registry import open_data
from segue.data.record import Options


def test_each_label_value_is_one_object_in_the_split_asked_for(tmp_path):
    for split, label in (("test", 4), ("train", 9)):
        for name in ("image", "annotations"):
            (tmp_path / split / name).mkdir(parents=True)
        PIL.Image.new("L", (4, 1), 90).save(tmp_path / split / "image" / "knee.png")
        PIL.Image.fromarray(np.array([[0, 2, label, label]], np.uint8)).save(
            tmp_path / split / "annotations" / "knee.png"
        )
    _, target = open_data(tmp_path).samples[0].read()
    assert [(i.id, i.area) for i in target.annotations] == [("knee#2", 1), ("knee#4", 2)]
    _, target = open_data(tmp_path, options=Options(split="train")).samples[0].read()
    assert target.annotations[1].id == "knee#9"
