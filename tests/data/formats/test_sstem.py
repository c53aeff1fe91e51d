import numpy as np
import PIL.Image

from segue.data.formats.registry import open_data


def test_components_are_objects_and_diagonal_neighbours_are_apart(tmp_path):
    for stack in ("stack1", "stack2"):
        for name in ("raw", "mitochondria"):
            (tmp_path / stack / name).mkdir(parents=True)
        PIL.Image.new("L", (4, 3), 90).save(tmp_path / stack / "raw" / "00.tif")
        mask = np.array([[255, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 0]], np.uint8)
        PIL.Image.fromarray(mask).save(tmp_path / stack / "mitochondria" / "00.png")
    data = open_data(tmp_path)
    assert [(s.id, s.group) for s in data.samples] == [("stack1/00", "stack1"), ("stack2/00", "stack2")]
    _, target = data.samples[0].read()
    assert [i.area for i in target.annotations] == [2, 1]
